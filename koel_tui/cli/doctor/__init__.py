"""`koel-chat doctor`: one module for each kind of check, a look and a judgement in each."""
