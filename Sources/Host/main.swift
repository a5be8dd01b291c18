print("ml-service")
