"""What prototypes is made of: an embedding, support examples, what is compared, single cases."""
