"""The reference of the language, made from the models that check it: a page a construct, each with a worked example.

Reads: the models, one sentence a key (meanings.py), and the examples, which are files of the language and checked by a test.
"""
