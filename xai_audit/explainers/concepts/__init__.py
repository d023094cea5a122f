"""What tcav is made of: sets of examples, vectors and their scores, edits, claims."""
