"""From a dataset's name to batches on the device.

assets.py and sources.py say where bytes come from and fetch them, datasets/ knows each dataset,
photos/ reads folders and archives of images of many sizes, arrays.py is the one form in which all
are kept, subsets.py draws indices, batches.py makes batches.

What depends on this folder: the stages fetch-data, fetch-weights and subset, models/ (assets),
training/ (arrays and batches).
"""
