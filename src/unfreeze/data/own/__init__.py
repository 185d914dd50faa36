"""Images of the user's own: a folder, an archive, a table of labels, or the address of an archive.

    naming.py     what is meant by `dataset:`, and how its folder is called
    tracked.py    whether what DVC tracks is as it was added
    scanning.py   the photos in it
    location.py   where it lies, and where it may not
"""

from unfreeze.data.own.location import check_place, download_path, path_of
from unfreeze.data.own.naming import SUFFIXES, TABLES, folder_name, is_own, is_url, url_file
from unfreeze.data.own.scanning import changed, settled
from unfreeze.data.own.tracked import check_tracked

__all__ = ["SUFFIXES", "TABLES", "changed", "check_place", "check_tracked", "download_path",
           "folder_name", "is_own", "is_url", "path_of", "settled", "url_file"]
