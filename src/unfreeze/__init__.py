"""unfreeze: which fine-tuning strategy is best for my images and my budget?"""

from unfreeze import bytecode as _bytecode

_bytecode.keep_apart()
