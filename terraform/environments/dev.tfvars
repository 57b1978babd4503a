environment  = "dev"
protect_data = false
