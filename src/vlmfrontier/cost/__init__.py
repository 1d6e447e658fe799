"""What a configuration costs: to serve, by the model that the study names (`model`), and to finetune (`training`)."""
