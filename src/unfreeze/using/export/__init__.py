"""A trained model as files that run without this project: `unfreeze export`.

    exporting.py   from a run to the folder, each file checked against the trained model
    network.py     the model as plain layers, as a torch.export program, as a Python file
    layout.py      timm's names for torchvision's models
    formats.py     safetensors, pt2, ONNX, INT8: written, and loaded as others will load them
    card.py        the model card, README.md
    folder.py      the whole folder or nothing, and never somebody else's
    beside/        what lies beside the models as it is
"""
