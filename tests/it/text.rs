//! Tokenizers against open_clip, transformers and sentencepiece (`tests/golden/text/make.py`), and files that are broken.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use cliptune::journal::failure::Failure;
use cliptune::model::{ClipConfig, preprocess};
use cliptune::spec::schema;
use cliptune::spec::sections::ModelSection;
use cliptune::text::{Clean, Found, Frame, Style, Tokenizer};
use proptest::prelude::*;
use serde_json::{Value, json};

const END_ONLY: Option<Frame> = Some(Frame { start: false, end: true });

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/text").join(name)
}

/// A file that `deps.sh` fetched: beside libtorch, or in this checkout.
pub(crate) fn vocabulary(name: &str) -> PathBuf {
    let beside = std::env::var_os("LIBTORCH").map(|torch| PathBuf::from(torch).join("../../vocabularies"));
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/vocabularies");
    let found = beside.into_iter().chain([own]).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: run tests/golden/text/fetch_vocabularies.sh"))
}

fn style(context_length: usize) -> Style {
    Style::new(context_length)
}

fn open(path: &Path, style: Style) -> Tokenizer {
    Tokenizer::open(&Found::at(path).unwrap(), style).unwrap()
}

/// Compares with the rows of a case; the padding at a row's end is not in the file.
fn check(case: &str, tokenizer: &Tokenizer, pad: i64) {
    let file: Value = serde_json::from_slice(&fs::read(golden("golden.json")).unwrap()).unwrap();
    let texts: Vec<String> = serde_json::from_value(file["texts"].clone()).unwrap();
    let rows: Vec<Option<Vec<i64>>> = serde_json::from_value(file["rows"][case].clone()).unwrap();
    assert!(texts.len() > 40);
    for (text, row) in texts.iter().zip(&rows) {
        let Some(row) = row else { continue };
        let mut found = tokenizer.encode(&[text]);
        assert_eq!(found.len(), tokenizer.context_length());
        while found.last() == Some(&pad) {
            found.pop();
        }
        assert_eq!(&found, row, "{case}: {text:?}");
    }
}

#[test]
fn clip_tokens_equal_open_clip() {
    let cases: Vec<(String, Vec<i64>, Vec<i64>)> =
        serde_json::from_slice(&fs::read(golden("clip.json")).unwrap()).unwrap();
    let lower = Tokenizer::clip_bpe(24);
    let canonical = Tokenizer::clip_bpe(24).canonicalized(true);
    for (text, low, canon) in &cases {
        assert_eq!(&lower.encode(&[text]), low, "{text:?}");
        assert_eq!(&canonical.encode(&[text]), canon, "canonicalised {text:?}");
    }
}

#[test]
fn siglip2_tokens_equal_transformers_and_open_clip() {
    let gemma = vocabulary("gemma/tokenizer.json");
    let tokenizer = |clean| open(&gemma, Style { clean, frame: END_ONLY, ..style(64) });
    check("siglip2", &tokenizer(Clean::AsIs), 0);
    check("siglip2_naflex", &tokenizer(Clean::LowerCase), 0);
    check("siglip2_canonical", &tokenizer(Clean::AsIs).canonicalized(true), 0);
    assert_eq!(tokenizer(Clean::AsIs).vocabulary_size(), 256_000);
}

#[test]
fn bert_tokens_equal_transformers_and_with_the_separator_gone_open_clip() {
    let vocab = vocabulary("bert/vocab.txt");
    check("bert", &open(&vocab, style(16)), 0);
    check("clipa", &open(&vocab, Style { clean: Clean::Whitespace, strip_separator: true, ..style(32) }), 0);
}

/// CLIP's vocabulary as transformers spells it: `vocab.json` and `merges.txt`.
fn write_clip_files(folder: &Path) {
    let file = fs::File::open(vocabulary("clip/bpe_simple_vocab_16e6.txt.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let merges: Vec<&str> = text.lines().skip(1).take(49152 - 256 - 2).collect();
    // Bytes that print stand for themselves, in the order of OpenAI's table; the others follow as U+0100 …
    let (printing, other): (Vec<u8>, Vec<u8>) =
        (0..=255u8).partition(|b| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff));
    let letters =
        printing.iter().map(|b| char::from(*b)).chain((0..other.len() as u32).filter_map(|i| char::from_u32(256 + i)));
    let letters: Vec<String> = letters.map(String::from).collect();
    let mut pieces = letters.clone();
    pieces.extend(letters.iter().map(|l| format!("{l}</w>")));
    pieces.extend(merges.iter().map(|m| m.replace(' ', "")));
    pieces.extend(["<|startoftext|>".to_owned(), "<|endoftext|>".to_owned()]);
    let table: BTreeMap<&String, usize> = pieces.iter().zip(0..).collect();
    assert_eq!(table.len(), 49408);
    fs::write(folder.join("vocab.json"), serde_json::to_vec(&table).unwrap()).unwrap();
    fs::write(folder.join("merges.txt"), format!("#version: 0.2\n{}\n", merges.join("\n"))).unwrap();
    fs::write(folder.join("tokenizer_config.json"), json!({"pad_token": {"content": "<|endoftext|>"}}).to_string())
        .unwrap();
}

#[test]
fn clip_vocabulary_of_a_model_folder_equals_transformers_and_survives_saving() {
    let dir = tempfile::tempdir().unwrap();
    write_clip_files(dir.path());
    let tokenizer = open(dir.path(), style(20));
    check("hf_clip", &tokenizer, 49407);
    let saved = tempfile::tempdir().unwrap();
    tokenizer.save(saved.path()).unwrap();
    let again = open(saved.path(), style(20));
    assert!(Found::at(saved.path()).unwrap().path.ends_with("tokenizer.json"));
    assert_eq!(again.identity(), tokenizer.identity());
    assert_ne!(again.identity(), open(saved.path(), style(21)).identity());
}

#[test]
fn sentencepiece_models_equal_the_sentencepiece_library() {
    for case in ["bpe", "unigram"] {
        check(case, &open(&golden(&format!("{case}.model")), Style { frame: END_ONLY, ..style(24) }), 0);
    }
}

/// Gemma's `tokenizer.model` from its `tokenizer.json`: pieces by id, scored by their first merge.
fn gemma_model() -> Vec<u8> {
    let tree: Value = serde_json::from_slice(&fs::read(vocabulary("gemma/tokenizer.json")).unwrap()).unwrap();
    let vocab = tree["model"]["vocab"].as_object().unwrap();
    let mut pieces: Vec<(&str, u64)> = vocab.iter().map(|(p, id)| (p.as_str(), id.as_u64().unwrap())).collect();
    pieces.sort_by_key(|(_, id)| *id);
    let added: BTreeMap<&str, bool> = tree["added_tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| (t["content"].as_str().unwrap(), t["special"].as_bool().unwrap()))
        .collect();
    let mut out = Vec::new();
    let field = |out: &mut Vec<u8>, tag: u8, bytes: &[u8]| {
        out.push(tag << 3 | 2);
        prost::encode_length_delimiter(bytes.len(), out).unwrap();
        out.extend_from_slice(bytes);
    };
    for (piece, id) in pieces {
        let mut one = Vec::new();
        field(&mut one, 1, piece.as_bytes());
        one.push(2 << 3 | 5);
        one.extend_from_slice(&(-(id as f32)).to_le_bytes());
        let kind = match added.get(piece) {
            _ if piece == "<unk>" => 2,
            Some(true) => 3,
            Some(false) => 4,
            None => 1,
        };
        one.extend([3 << 3, kind]);
        field(&mut out, 1, &one);
    }
    // trainer_spec: model_type 3 = BPE, byte_fallback 35; normalizer_spec: add_dummy_prefix 3 = false.
    field(&mut out, 2, &[3 << 3, 2, 0x98, 0x02, 1]);
    field(&mut out, 3, &[3 << 3, 0]);
    out
}

#[test]
fn gemma_model_file_gives_the_ids_of_its_tokenizer_json() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.model");
    fs::write(&path, gemma_model()).unwrap();
    check("siglip2", &open(&path, Style { frame: END_ONLY, ..style(64) }), 0);
}

#[test]
fn folder_config_says_what_stands_around_a_text_and_how_it_is_cleaned() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(golden("bpe.model"), dir.path().join("tokenizer.model")).unwrap();
    let config = json!({"add_bos_token": true, "add_eos_token": true, "bos_token": "<s>", "eos_token": {"content": "</s>"},
        "tokenizer_class": "Siglip2TokenizerFast"});
    fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    let rows = open(dir.path(), style(32)).encode(&["A Photo", "a photo"]);
    assert_eq!(rows[..32], rows[32..]);
    assert_eq!((rows[0], rows.iter().take(32).rfind(|id| **id != 0)), (2, Some(&1)));
}

#[test]
fn nothing_there_a_file_that_is_no_tokenizer_and_a_missing_end_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Found::at(dir.path()), None);
    fs::write(dir.path().join("vocab.json"), "{}").unwrap();
    assert_eq!(Found::at(dir.path()), None, "no merges.txt");
    for (name, content, words) in [
        ("tokenizer.json", &b"{}"[..], "is not a tokenizer.json"),
        ("tokenizer.model", b"\x08\x01", "not a SentencePiece model"),
        ("vocab.txt", b"a\nb\n", "has no [CLS]"),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        let message = Tokenizer::open(&Found::at(&path).unwrap(), style(8)).unwrap_err().message;
        assert!(message.contains(name) && message.contains(words), "{message}");
    }
    let bert = Found::at(&vocabulary("bert/vocab.txt")).unwrap();
    open(&bert.path, Style { frame: END_ONLY, ..style(8) });
    let path = dir.path().join("tokenizer.json");
    let words = json!({"version": "1.0", "added_tokens": [], "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}});
    fs::write(&path, words.to_string()).unwrap();
    let message =
        Tokenizer::open(&Found::at(&path).unwrap(), Style { frame: END_ONLY, ..style(8) }).unwrap_err().message;
    assert!(message.contains("no token for the end"), "{message}");
}

fn tokenizer_of(kind: &str, set: impl FnOnce(&mut ModelSection)) -> Result<std::sync::Arc<Tokenizer>, Failure> {
    let mut section: ModelSection = serde_json::from_value(schema::defaults()["model"].clone()).unwrap();
    section.kind = kind.to_owned();
    set(&mut section);
    preprocess::tokenizer(&ClipConfig::resolve(kind, section.adaptor_name.as_deref()).unwrap(), &section, &[])
}

#[test]
fn every_model_type_has_the_tokenizer_of_its_family() {
    let row = |kind: &str, file: Option<&str>, adaptor: Option<&str>| {
        let tokenizer = tokenizer_of(kind, |m| {
            m.tokenizer_path = file.map(vocabulary);
            m.adaptor_name = adaptor.map(str::to_owned);
        });
        let mut ids = tokenizer.unwrap().encode(&["A photo of a cat"]);
        assert!(ids.len() >= 64);
        ids.truncate(8);
        ids
    };
    let gemma = Some("gemma/tokenizer.json");
    let bert = [101, 1037, 6302, 1997, 1037, 4937, 0, 0];
    let siglip = [235280, 2686, 576, 476, 4401, 1, 0, 0];
    assert_eq!(row("ViT-L-14-SigLIP-CLIPA-336", Some("bert/vocab.txt"), None), bert);
    assert_eq!(row("siglip2-so400m-patch16-256", gemma, None), siglip);
    assert_eq!(
        row("siglip2-so400m-patch16-naflex", gemma, None),
        [235250, 2686, 576, 476, 4401, 1, 0, 0],
        "lower case"
    );
    assert_eq!(row("c-radio_v3-h", gemma, Some("siglip")), siglip);
    assert_eq!(row("c-radio_v3-h", None, Some("clip")), [49406, 320, 1125, 539, 320, 2368, 49407, 0]);
}

#[test]
fn model_without_a_vocabulary_says_which_files_would_do() {
    for (kind, words) in [
        ("siglip2-so400m-patch16-256", "tokenizer.json of https://huggingface.co/google/siglip2-so400m-patch16-256"),
        ("ViT-H-14-SigLIP-CLIPA-224", "vocab.txt of https://huggingface.co/google-bert/bert-base-uncased"),
    ] {
        let message = tokenizer_of(kind, |_| ()).unwrap_err().message;
        assert!(message.contains(words) && message.contains("model.tokenizer_path"), "{message}");
    }
    let nowhere = tokenizer_of("clip-tiny-64", |m| m.tokenizer_path = Some("nowhere".into())).unwrap_err().message;
    assert!(nowhere.contains("model.tokenizer_path nowhere"), "{nowhere}");
    let large = tokenizer_of("clip-tiny-64", |m| m.tokenizer_path = Some(vocabulary("gemma/tokenizer.json")));
    assert!(large.unwrap_err().message.contains("256000 tokens, the model only 49408"));
}

/// Small files of every format.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let model = |name: &str| fs::read(golden(name)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let json = |name: &str| {
        open(&golden(name), style(8)).save(dir.path()).unwrap();
        fs::read(dir.path().join("tokenizer.json")).unwrap()
    };
    let pieces: Vec<u8> = fs::read(vocabulary("bert/vocab.txt")).unwrap()[..2000].to_vec();
    vec![
        ("tokenizer.model", model("bpe.model")),
        ("spiece.model", model("unigram.model")),
        ("tokenizer.json", json("bpe.model")),
        ("tokenizer.json", json("unigram.model")),
        ("vocab.txt", [&b"[CLS]\n[SEP]\n[UNK]\n"[..], &pieces].concat()),
        ("vocab.json", br#"{"<|startoftext|>":3,"<|endoftext|>":4,"a":0,"b</w>":1,"ab</w>":2}"#.to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn broken_files_never_panic(
        which in 0usize..6,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        static SAMPLES: std::sync::OnceLock<Vec<(&'static str, Vec<u8>)>> = std::sync::OnceLock::new();
        let (name, bytes) = &SAMPLES.get_or_init(samples)[which];
        let mut bytes = bytes.clone();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(name), bytes).unwrap();
        fs::write(dir.path().join("merges.txt"), "a b</w>\n").unwrap();
        if let Ok(tokenizer) = Tokenizer::open(&Found::at(dir.path()).unwrap(), style(16)) {
            let texts = ["a photo of a cat", "ﬁrst ＡＢＣ \u{a0} ünïcode 😀", ""];
            prop_assert_eq!(tokenizer.encode(&texts).len(), 48);
        }
    }
}
