import Plugins

print("child")
