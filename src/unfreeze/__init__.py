"""unfreeze: which fine-tuning strategy is best for my images and my budget?"""
