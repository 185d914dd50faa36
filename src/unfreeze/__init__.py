"""unfreeze: which fine-tuning strategy is best for my images and my budget?"""

from unfreeze import bytecode as _bytecode
from unfreeze import instructions as _instructions

_bytecode.keep_apart()
_instructions.choose()  # here, since whatever of this package imports torch has come by
