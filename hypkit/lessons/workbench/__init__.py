"""The workbench of an exercise in assembly or in C: the text, its verdict, what it costs, and why.

benches.py says what stands on each bench; measure.py runs a text; model.py is the Workbench, which
knows no widget; pictures.py draws the pipeline and the histogram; static.py is what a saved notebook
shows; view.py and front/ are the page.
"""
