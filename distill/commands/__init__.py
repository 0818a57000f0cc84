"""The command line: one file per verb, from words to settings and from a job to an exit code.

It may import every other room. VERBS is its table: verb -> (module of this folder, what it does). A verb's
module has SETTINGS, from which its options are made, and main(arguments, prog) -> exit code.
"""

VERBS = {
    "image": ("image", "distil an image data set (MNIST by default)"),
    "text": ("text", "distil a text set (bundled sentences by default)"),
    "compare": ("compare", "compare a set with random, selected and all real items, on several networks"),
    "adapt": ("adapt", "learn images that adapt trained networks to another data set in one step"),
    "poison": ("poison", "learn images that make trained networks mistake one class for another"),
    "student": ("student", "train a network on a distilled set and measure it"),
    "predict": ("predict", "the classes of new texts or image files by students of a set"),
    "export": ("export", "write a set as a Hugging Face folder, as images or as safetensors"),
    "import": (
        "import_set",
        "read a set of another project (results.pth, res_*.pt, checkpoint_*, .h5, …) or an export",
    ),
    "select": ("select", "choose real images as a set, with hard labels or a teacher's"),
    "report": ("report", "write an HTML page that shows sets and runs, side by side"),
    "relabel": ("relabel", "give a distilled set a teacher's soft labels"),
    "teach": ("teach", "run a recipe of knowledge distillation (a YAML file)"),
}
