"""What imports torch. The files of the folder above do not: `plan` imports them all."""
