"""What people read: the report and its pictures. Nothing is judged here, and no model depends on
it."""
