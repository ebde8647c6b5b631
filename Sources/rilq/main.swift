print("rilq")
