"""Training ahead: what stages that come later would train one after another is trained side by
side, into the scratch folder, where they find it. It decides no result, only when it is there.
"""
