"""The command line: one file per verb, from words to settings and from a job to an exit code.

It may import every other room. VERBS is its table: verb -> (module of this folder, what it does). A verb's
module has SETTINGS, from which its options are made, and main(arguments, prog) -> exit code.
"""

VERBS = {
    "image": ("image", "distil an image data set (MNIST by default)"),
    "text": ("text", "distil a text set (bundled sentences by default)"),
    "compare": ("compare", "set it beside random, picked and all real items, on many networks"),
    "adapt": ("adapt", "a set that fits trained networks to another data set in one step"),
    "poison": ("poison", "a set after one step on which trained networks take a class for another"),
    "student": ("student", "train a network on a distilled set and measure it"),
    "export": ("export", "write a set for others: a Hugging Face folder, images, safetensors"),
    "import": (
        "import_set",
        "take over a set from others: results.pth, res_*.pt, images_best.pt, an export",
    ),
    "report": ("report", "write an HTML page that shows sets and runs, side by side"),
    "relabel": ("relabel", "give a distilled set a teacher's soft labels"),
    "teach": ("teach", "follow a recipe of knowledge distillation, a YAML file"),
}
