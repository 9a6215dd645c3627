"""A program that prints the features llama.cpp was built with and uses here."""

import llama_cpp

if __name__ == "__main__":
    print(llama_cpp.llama_print_system_info().decode("utf-8", "replace"))
