"""Makes the goldens of this folder: token ids of the Python references for many strings.

  clip.json      open_clip's SimpleTokenizer, as-is and canonical, context 24
  golden.json    {"texts": [...], "rows": {case: [[ids without the padding at the end], ...]}}
  bpe.model, unigram.model   small SentencePiece models, trained here

Needs open_clip_torch, transformers, sentencepiece, protobuf, and the folder that fetch_vocabularies.sh fills:
usage: make.py .deps/vocabularies
"""
import gzip, json, os, sys, tempfile
import open_clip, sentencepiece
from open_clip.tokenizer import HFTokenizer
from transformers import AutoTokenizer, BertTokenizer, CLIPTokenizer
from tokenizers import Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
REAL = sys.argv[1]

TEXTS = ["a photo of a cat", "A Photo, of a CAT!", "  spaces \t and\nlines\r\n ", "it's 10:30 o'clock, 25% off; #1 @home", "don't we'll they've I'm you're he'd",
    "caf\u00e9 na\u00efve \u00fcber Stra\u00dfe", "cafe\u0301 na\u0308ive (combining)", "\u4e2d\u6587\u6587\u5b57 \u65e5\u672c\u8a9e", "emoji \U0001f600\U0001f680 end",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 family \U0001f1e9\U0001f1ea \u2764\ufe0f", "&lt;b&gt; &amp;amp; &quot;q&quot; &#39;x&#39; &eacute;",
    "&ldquo;curly&rdquo; &hellip; &NotEqualTilde; &notin &copy 2020 &#128; &#x1F600;", "<b>bold</b> &amp; &eacute;", "line &amp; one\n<p>two &amp;\nthree &amp;",
    "\u201ccurly\u201d \u2018quotes\u2019", "o\ufb03ce \ufb01ne \u0132sselmeer \u01c4", "\uff26\uff55\uff4c\uff4c width \uff76\uff9e\uff77 \uffe5", "", " ", "!!!", "x" * 300, "word " * 100,
    "under_score and-dash/slash", "1234567890 3.14", "\u0410\u043d\u0434\u0440\u0435\u0439 \u0438\u0434\u0451\u0442 \u043f\u043e \u0441\u043d\u0435\u0433\u0443",
    "\u0627\u0644\u0633\u0644\u0627\u0645 \u0639\u0644\u064a\u0643\u0645", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01", "\ud55c\uad6d\uc5b4 \ubb38\uc7a5",
    "\u0395\u03bb\u03bb\u03ac\u03c2 \u039f\u0394\u039f\u03a3", "<start_of_text> hi <end_of_text>", "<eos> <pad> <bos> <unk> [SEP] [CLS] [MASK]", "\u0130stanbul \u0131\u015f\u0131k", "tab\tsep\u00a0nbsp\u2003em\u200bzero",
    "donaudampfschifffahrtsgesellschaft", "a clip art of an envelope with stamp", "two  spaces   three    four", "\u2581already a mark", "\U00010348 \U0001d54f \u0fd6 rare", "\x1b[31mred\x1b[0m \x07bell\x7f",
    "https://example.org/a?b=c&d=e%20f", "E = mc\u00b2 \u00bd \u00b5m \u2211 \u221e", "CamelCaseAndsnake_case", "The quick brown fox jumps over the lazy dog. " * 4, "\ufeffbom and \ufffd replacement", "na\u00efve caf\u00e9 \u2014 d\u00e9j\u00e0-vu",
    "multi\n\nparagraph\n\n\n\ntext", "\x95 \x80 c1 \x85 next"]

def train(name, **options):
    corpus = os.path.join(HERE, "make.py")
    rule = os.path.join(tempfile.mkdtemp(), "rule.tsv")
    # A small character table (code points in hexadecimal): full-width A to C, a ligature, non-breaking space.
    with open(rule, "w") as f: f.write("FF21\t41\nFF22\t42\nFF23\t43\nFB01\t66 69\nA0\t20\n")
    sentencepiece.SentencePieceTrainer.train(input=corpus, model_prefix=os.path.join(HERE, name), minloglevel=2,
        user_defined_symbols=["<loc>"], hard_vocab_limit=False, normalization_rule_tsv=rule, pad_id=0, eos_id=1, bos_id=2, unk_id=3, **options)
    os.remove(os.path.join(HERE, name + ".vocab"))
train("bpe", model_type="bpe", byte_fallback=True, vocab_size=420, add_dummy_prefix=False, remove_extra_whitespaces=False)
train("unigram", model_type="unigram", vocab_size=200)

rows = {}
def trimmed(row, pad):
    row = list(row)
    while row and row[-1] == pad: row.pop()
    return row
def case(name, encode, pad): rows[name] = [trimmed(encode(t), pad) for t in TEXTS]
def hf(tokenizer, length): return lambda t: tokenizer(t, max_length=length, padding="max_length", truncation=True).input_ids

gemma_dir = tempfile.mkdtemp()
# The hub's file ends a text and does not begin it; the one at hand is Gemma's own, which does the opposite.
with open(os.path.join(REAL, "gemma/tokenizer.json")) as f: tree = json.load(f)
tree["post_processor"] = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<eos>", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
    "special_tokens": {"<eos>": {"id": "<eos>", "ids": [1], "tokens": ["<eos>"]}}}
with open(os.path.join(gemma_dir, "tokenizer.json"), "w") as f: json.dump(tree, f)
def gemma(cls):
    config = {"tokenizer_class": cls, "add_bos_token": False, "add_eos_token": True, "padding_side": "right",
        "pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    with open(os.path.join(gemma_dir, "tokenizer_config.json"), "w") as f: json.dump(config, f)
    return gemma_dir
case("siglip2", hf(AutoTokenizer.from_pretrained(gemma("GemmaTokenizer")), 64), 0)
case("siglip2_naflex", hf(AutoTokenizer.from_pretrained(gemma("Siglip2Tokenizer")), 64), 0)
canonical = HFTokenizer(gemma("GemmaTokenizer"), context_length=64, clean="canonicalize")
case("siglip2_canonical", lambda t: canonical([t])[0].tolist(), 0)

bert_dir = tempfile.mkdtemp()
with open(os.path.join(REAL, "bert/vocab.txt")) as f, open(os.path.join(bert_dir, "vocab.txt"), "w") as g: g.write(f.read())
with open(os.path.join(bert_dir, "config.json"), "w") as f: json.dump({"model_type": "bert"}, f)
BertTokenizer(vocab=os.path.join(bert_dir, "vocab.txt")).save_pretrained(bert_dir)
clipa = HFTokenizer(bert_dir, context_length=32, clean="whitespace", strip_sep_token=True)
case("clipa", lambda t: clipa([t])[0].tolist(), 0)
case("bert", hf(AutoTokenizer.from_pretrained(bert_dir), 16), 0)

# CLIP's vocabulary in transformers' spelling, as openai/clip-vit-base-patch32 has it.
simple = open_clip.SimpleTokenizer()
clip_dir = tempfile.mkdtemp()
vocab = {("<|startoftext|>" if k == "<start_of_text>" else "<|endoftext|>" if k == "<end_of_text>" else k): v for k, v in simple.encoder.items()}
with gzip.open(os.path.join(REAL, "clip/bpe_simple_vocab_16e6.txt.gz"), "rt") as f: merges = f.read().split("\n")[1:49152 - 256 - 2 + 1]
with open(os.path.join(clip_dir, "vocab.json"), "w") as f: json.dump(vocab, f)
with open(os.path.join(clip_dir, "merges.txt"), "w") as f: f.write("#version: 0.2\n" + "\n".join(merges) + "\n")
case("hf_clip", hf(CLIPTokenizer(vocab=os.path.join(clip_dir, "vocab.json"), merges=os.path.join(clip_dir, "merges.txt")), 20), 49407)

# The library's own ids, end appended, cut to 24 with the end kept. The names of control pieces in a text are text to it;
# to transformers and to us they are those pieces; a text that starts with the mark of a space gets no second one from
# transformers' unigram. Both texts are left out.
for name in ("bpe", "unigram"):
    model = sentencepiece.SentencePieceProcessor(model_file=os.path.join(HERE, name + ".model"))
    rows[name] = [None if "<eos>" in t or t.startswith("\u2581") else trimmed(model.encode(t)[:23] + [1], 0) for t in TEXTS]

json.dump({"texts": TEXTS, "rows": rows}, open(os.path.join(HERE, "golden.json"), "w"), separators=(",", ":"))
low = open_clip.SimpleTokenizer(context_length=24)
canon = open_clip.SimpleTokenizer(context_length=24, clean="canonicalize")
json.dump([[t, low(t)[0].tolist(), canon(t)[0].tolist()] for t in TEXTS], open(os.path.join(HERE, "clip.json"), "w"), separators=(",", ":"))
