"""Fine-tuning: what is trained, and how fast. From rules over parts to parameter groups."""
