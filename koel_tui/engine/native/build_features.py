"""A program that prints what llama.cpp was built for and uses here."""

import llama_cpp

if __name__ == "__main__":
    print(llama_cpp.llama_print_system_info().decode("utf-8", "replace"))
