environment  = "prod"
protect_data = true
