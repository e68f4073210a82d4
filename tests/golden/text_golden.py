"""Makes tests/golden/text.json: token ids of open_clip's SimpleTokenizer. Needs open_clip_torch."""
import json, os
import open_clip

TEXTS = ["a photo of a cat", "A Photo, of a CAT!", "  spaces \t and\nlines\r\n ", "it's 10:30 o'clock, 25% off; #1 @home", "don't we'll they've I'm you're he'd",
    "caf\u00e9 na\u00efve \u00fcber Stra\u00dfe", "\u4e2d\u6587\u6587\u5b57 \u65e5\u672c\u8a9e", "emoji \U0001f600\U0001f680 end", "&lt;b&gt; &amp;amp; &quot;q&quot; &#39;x&#39; &eacute;",
    "\u201ccurly\u201d \u2018quotes\u2019", "o\ufb03ce \ufb01ne", "\uff26\uff55\uff4c\uff4c width", "", "!!!", "x" * 300, "word " * 100, "under_score and-dash/slash", "1234567890 3.14",
    "\u0410\u043d\u0434\u0440\u0435\u0439 \u0438\u0434\u0451\u0442", "<start_of_text> hi <end_of_text>", "\u0130stanbul", "tab\tsep\u00a0nbsp", "donaudampfschifffahrtsgesellschaft", "a clip art of an envelope with stamp"]
low = open_clip.SimpleTokenizer(context_length=24)
canon = open_clip.SimpleTokenizer(context_length=24, clean="canonicalize")
json.dump([[t, low(t)[0].tolist(), canon(t)[0].tolist()] for t in TEXTS],
    open(os.path.join(os.path.dirname(__file__), "text.json"), "w"), separators=(",", ":"))
