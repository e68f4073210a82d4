//! Files of tensors (`tests/golden/tensors.py`): every container gives the same values, hostile and damaged files are refused.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cliptune::tensors::{Container, Dtype, Key, Outgoing, TensorFile, write_safetensors, write_torch};
use proptest::prelude::*;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tensors").join(name)
}

type Contents = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn contents(file: &TensorFile) -> Contents {
    let read = |e: &cliptune::tensors::Entry| (e.dtype, e.shape.clone(), e.bytes().unwrap().into_owned());
    file.tensors.iter().map(|(name, entry)| (name.clone(), read(entry))).collect()
}

fn open(name: &str) -> TensorFile {
    TensorFile::open(&golden(name), None).unwrap()
}

fn plain() -> Contents {
    contents(&open("plain.safetensors"))
}

fn outgoing(contents: &Contents) -> Vec<Outgoing<'_>> {
    let each = |(name, (dtype, shape, bytes)): (&String, &(Dtype, Vec<usize>, Vec<u8>))| Outgoing {
        name: name.clone(),
        dtype: *dtype,
        shape: shape.clone(),
        bytes: {
            let bytes = bytes.clone();
            Box::new(move || Ok(Cow::Owned(bytes.clone())))
        },
    };
    contents.iter().map(each).collect()
}

#[test]
fn every_container_gives_the_same_tensors() {
    let expected = plain();
    assert_eq!(expected["matrix"].1, [4, 6]);
    assert_eq!(expected["scalar"].2, 2.5f32.to_le_bytes());
    for (name, container) in [
        ("model.safetensors.index.json", Container::Shards),
        ("bare.pt", Container::Torch),
        ("protocol4.pt", Container::Torch),
        ("stored.npz", Container::Npz),
        ("deflated.npz", Container::Npz),
    ] {
        let file = open(name);
        assert_eq!(file.container, container, "{name}");
        assert_eq!(contents(&file), expected, "{name}");
    }
}

#[test]
fn blocks_are_the_bytes_in_order() {
    for name in ["plain.safetensors", "bare.pt", "deflated.npz"] {
        for (tensor, entry) in &open(name).tensors {
            let mut all = Vec::new();
            let collect = |at: usize, bytes: &[u8]| {
                assert_eq!(at, all.len());
                all.extend_from_slice(bytes);
                Ok(())
            };
            entry.in_blocks(collect).unwrap();
            assert_eq!(all, *entry.bytes().unwrap(), "{name}: {tensor}");
        }
    }
}

#[test]
fn state_dict_in_a_checkpoint_is_unwrapped_and_its_settings_are_plain_values() {
    let file = open("wrapped.pth.tar");
    let mut found = contents(&file);
    assert_eq!(found.remove("parameter"), found.get("matrix").cloned());
    assert_eq!(found, plain());
    let args = &file.metadata["args"];
    assert_eq!(args["teachers"][0]["name"], "clip");
    assert_eq!((args["cpe_max_size"].as_i64(), args["lr"].as_f64()), (Some(2048), Some(0.5)));
    assert_eq!((args["out"].as_str(), args["big"].as_i64()), (Some("a/b"), Some(1 << 40)));
    assert_eq!((&args["groups"]["a"][0], &args["sizes"][1]), (&1.into(), &2.into()));
    assert_eq!(file.metadata["epoch"], 3);
}

#[test]
fn lightning_checkpoint_of_tao_is_read_with_the_classes_of_its_settings() {
    let file = open("lightning.ckpt");
    assert_eq!(file.tensors.keys().collect::<Vec<_>>(), ["model.bias", "model.weight"]);
    assert_eq!(contents(&file)["model.weight"], plain()["matrix"]);
    assert_eq!((&file.metadata["epoch"], &file.metadata["global_step"]), (&1.into(), &1.into()));
    let named = |module: &str| {
        cliptune::tensors::pickle::read(format!("c{module}\nname\n.").as_bytes())
            .map(drop)
            .map_err(|why| why.contains(module))
    };
    assert_eq!(named("nvidia_tao_pytorch.cv.clip.config.default_config"), Ok(()));
    for other in ["nvidia_tao_core", "nvidia_tao_core.configs", "nvidia_tao", "xnvidia_tao_core.config", "config"] {
        assert_eq!(named(other), Err(true));
    }
}

#[test]
fn pickles_that_ask_for_other_names_are_refused_by_name_and_nothing_runs() {
    let message = |name: &str| TensorFile::open(&golden(name), None).unwrap_err().message;
    let evil = message("evil.pt");
    assert!(evil.contains("posix.system") && evil.contains("evil.pt"), "{evil}");
    assert!(message("evil_builtin.pt").contains("__builtin__.eval"));
    assert!(!Path::new("/tmp/cliptune-was-here").exists());
}

#[test]
fn files_of_other_kinds_are_refused_with_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let message = |content: &[u8]| {
        let path = dir.path().join("w");
        std::fs::write(&path, content).unwrap();
        TensorFile::open(&path, None).unwrap_err().message
    };
    assert!(message(b"").contains("empty"));
    assert!(message(b"\x89HDF\r\n\x1a\n").contains("HDF5"));
    assert!(message(b"version https://git-lfs.github.com/spec/v1").contains("Git LFS"));
    assert!(message(b"PK\x05\x06junk").contains("zip"));
    assert!(message(br#"{"weight_map": {"a": "../../etc/passwd"}}"#).contains("etc/passwd"));
    assert!(message(br#"{"weight_map": {"a": "absent.safetensors"}}"#).contains("absent.safetensors"));
    // Nor is a file of such a name fetched.
    let index = dir.path().join("index.json");
    std::fs::write(&index, br#"{"weight_map": {"a": "../../evil.safetensors"}}"#).unwrap();
    assert!(TensorFile::shards(&index).unwrap_err().message.contains("../../evil.safetensors"));
    let legacy = TensorFile::open(&golden("legacy.pt"), None).unwrap_err().message;
    assert!(legacy.contains("before 1.6"), "{legacy}");
    let folder = TensorFile::open(dir.path(), None).unwrap_err().message;
    assert!(folder.contains("open_clip_model.safetensors"), "{folder}");
}

#[test]
fn written_files_hold_the_same_tensors_and_metadata() {
    let dir = tempfile::tempdir().unwrap();
    let expected = plain();
    let path = dir.path().join("model.safetensors");
    write_safetensors(&path, &[("format", "pt".to_owned())], outgoing(&expected), None).unwrap();
    let file = TensorFile::open(dir.path(), None).unwrap();
    assert_eq!((contents(&file), &file.metadata["format"]), (expected.clone(), &"pt".into()));
    let torch = dir.path().join("model.pth");
    for wrapper in [None, Some("state_dict")] {
        write_torch(&torch, &outgoing(&expected), wrapper).unwrap();
        let file = TensorFile::open(&torch, None).unwrap();
        assert_eq!((file.container, contents(&file)), (Container::Torch, expected.clone()));
    }
    // Python's loader, which checks alignment and checksums, is asked by tests/golden/models/check.py.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_tensor_that_cannot_be_made_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let short = Outgoing {
        name: "a".into(),
        dtype: Dtype::F32,
        shape: vec![2],
        bytes: Box::new(|| Ok(Cow::Borrowed(&[0; 4]))),
    };
    let message = write_safetensors(&dir.path().join("m.safetensors"), &[], vec![short], None).unwrap_err().message;
    assert!(message.contains("a F32[2] came with 4 bytes"), "{message}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn encrypted_weights_open_with_their_key_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    // Several chunks, and tensors across their borders.
    let mut expected = plain();
    expected.insert("large".into(), (Dtype::U8, vec![200_000], (0..200_000u32).map(|i| (i % 251) as u8).collect()));
    let key = Key::new("correct horse");
    write_safetensors(&path, &[], outgoing(&expected), Some(&key)).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(6).any(|w| w == b"matrix"));

    let file = TensorFile::open(dir.path(), Some(&key)).unwrap();
    assert_eq!((file.container, contents(&file)), (Container::EncryptedSafetensors, expected));
    let refused = |key: Option<&Key>| TensorFile::open(&path, key).unwrap_err().message;
    assert!(refused(Some(&Key::new("Correct horse"))).contains("the key is wrong"));
    assert!(refused(None).contains("CLIPTUNE_ENCRYPTION_KEY"));
    assert!(!format!("{key:?}").contains("horse"));

    // Cut at a chunk's border, and one bit changed in the middle.
    std::fs::write(&path, &bytes[..63 + 2 * (65536 + 16)]).unwrap();
    assert!(refused(Some(&key)).contains("cut or changed"));
    let mut changed = bytes;
    changed[63 + 65536 + 16 + 1000] ^= 1;
    std::fs::write(&path, &changed).unwrap();
    let file = TensorFile::open(&path, Some(&key)).unwrap();
    assert!(file.tensors["large"].bytes().unwrap_err().message.contains("cut or changed"));
}

/// Reads everything that still can be read.
fn exhaust(path: &Path) {
    if let Ok(file) = TensorFile::open(path, None) {
        for entry in file.tensors.values() {
            let _ = entry.bytes();
        }
    }
}

/// A checkpoint from elsewhere against the same tensors written by Python's safetensors: both paths from the environment.
#[test]
#[ignore = "needs CLIPTUNE_TEST_ARCHIVE and CLIPTUNE_TEST_SAFETENSORS"]
fn a_real_archive_is_read_as_python_reads_it() {
    let open = |name: &str| TensorFile::open(Path::new(&std::env::var(name).unwrap()), None).unwrap();
    let (archive, expected) = (open("CLIPTUNE_TEST_ARCHIVE"), open("CLIPTUNE_TEST_SAFETENSORS"));
    assert_eq!(archive.container, Container::Torch);
    assert!(contents(&archive) == contents(&expected));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A file that was cut or changed anywhere is refused or read; it never panics, hangs or asks for memory without bound.
    #[test]
    fn damaged_files_never_panic(
        name in prop::sample::select(vec![
            "plain.safetensors", "model.safetensors.index.json", "bare.pt", "wrapped.pth.tar", "protocol4.pt",
            "stored.npz", "deflated.npz", "legacy.pt", "lightning.ckpt",
        ]),
        cut in prop::option::weighted(0.3, 0.0..1.0f64),
        flips in prop::collection::vec((0.0..1.0f64, any::<u8>()), 0..12),
    ) {
        let mut bytes = std::fs::read(golden(name)).unwrap();
        for (at, value) in flips {
            let at = (at * bytes.len() as f64) as usize;
            bytes[at] = value;
        }
        bytes.truncate((cut.unwrap_or(1.0) * bytes.len() as f64) as usize);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        exhaust(&path);
    }

    /// Opcodes in any order, with operands that are often valid.
    #[test]
    fn arbitrary_pickles_never_panic(pieces in prop::collection::vec(prop_oneof![
        any::<u8>().prop_map(|b| vec![b]),
        prop::sample::select(b"(.0N}])tldeasubRQ\x81\x85\x86\x87\x88\x89\x90\x91\x94\x8fK".to_vec()).prop_map(|b| vec![b]),
        prop::sample::select(vec![
            &b"ccollections\nOrderedDict\n"[..], b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n",
            b"X\x07\x00\x00\x00storage", b"K\x01", b"q\x00", b"h\x00", b"(K\x01K\x02t", b"cbuiltins\nlist\n",
        ]).prop_map(<[u8]>::to_vec),
    ], 0..200)) {
        let mut bytes = pieces.concat();
        bytes.push(b'.');
        if let Ok(graph) = cliptune::tensors::pickle::read(&bytes) {
            graph.tensors(graph.root());
            graph.plain(graph.root());
        }
    }
}

#[test]
fn pickles_that_grow_are_stopped() {
    use cliptune::tensors::pickle;
    // A list that holds itself twice, forty levels deep: 2^40 values when it is followed.
    let mut deep = b"]".to_vec();
    for _ in 0..40 {
        deep.extend_from_slice(b"q\x000](h\x00h\x00e");
    }
    deep.push(b'.');
    let graph = pickle::read(&deep).unwrap();
    assert!(graph.plain(graph.root()).to_string().len() < 10_000_000);
    // One long list, copied again and again.
    let mut copies = b"](".to_vec();
    copies.extend(std::iter::repeat_n(b'N', 100_000));
    copies.extend_from_slice(b"e\x85q\x000cbuiltins\nlist\nq\x010");
    copies.extend(b"h\x01h\x00R0".repeat(100_000));
    copies.push(b'.');
    assert!(pickle::read(&copies).unwrap_err().contains("copies more than"));
    let circle = b"}q\x00X\x01\x00\x00\x00ah\x00s.";
    let graph = pickle::read(circle).unwrap();
    assert!(graph.tensors(graph.root()).is_empty());
}
