"""The trained networks: encoders, the detail decoder, and the model that joins them with a head."""
