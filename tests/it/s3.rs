//! Data on S3, from a real server of its protocol (moto) that each test starts for itself.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::data::make_pairs;

/// A server with the bucket `data`; ends with the test.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let moto = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/moto");
        assert!(moto.join("moto").is_dir(), "there is no {}; run tests/golden/s3/fetch_moto.sh", moto.display());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("python3")
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .env("PYTHONPATH", moto)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, port };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(60), "moto does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        server.put("", b"");
        server
    }

    /// Uploads an object; the empty key makes the bucket.
    fn put(&self, key: &str, content: &[u8]) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let path = if key.is_empty() { String::new() } else { format!("/{key}") };
        write!(
            stream,
            "PUT /data{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\nAuthorization: AWS test:test\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            content.len()
        )
        .unwrap();
        stream.write_all(content).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Uploads the files below a folder.
    fn put_folder(&self, folder: &Path, prefix: &str) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let key = format!("{prefix}/{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() { self.put_folder(&path, &key) } else { self.put(&key, &fs::read(path).unwrap()) }
        }
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Stands before a server, counts requests, and cuts some answers off.
struct Proxy {
    port: u16,
    /// First lines of requests.
    log: Arc<Mutex<Vec<String>>>,
    /// How many more answers of more than 1000 bytes are cut off there.
    cuts: Arc<AtomicUsize>,
}

impl Proxy {
    fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, to) = (listener.local_addr().unwrap().port(), server.port);
        let (log, cuts) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let proxy = Self { port, log: log.clone(), cuts: cuts.clone() };
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", to))) else { continue };
                let (log, cuts) = (log.clone(), cuts.clone());
                let (from, into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                // Bytes of the answer to come that pass; listings pass whole.
                let room = Arc::new(AtomicUsize::new(usize::MAX));
                let left = room.clone();
                std::thread::spawn(move || {
                    let note = |bytes: &[u8]| {
                        let line = String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_owned();
                        if line.ends_with("HTTP/1.1") {
                            let object = line.starts_with("GET /data/");
                            left.store(if object { 1000 } else { usize::MAX }, Ordering::SeqCst);
                            log.lock().unwrap().push(line);
                        }
                        true
                    };
                    pass(from, into, note);
                });
                std::thread::spawn(move || {
                    let take = |left: usize| left.checked_sub(1);
                    let go_on = |bytes: &[u8]| {
                        let now = room.load(Ordering::SeqCst).saturating_sub(bytes.len());
                        room.store(now, Ordering::SeqCst);
                        now > 0 || cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_err()
                    };
                    pass(server, client, go_on);
                });
            }
        });
        proxy
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The keys that were downloaded since the last call.
    fn downloaded(&self) -> Vec<String> {
        let lines = std::mem::take(&mut *self.log.lock().unwrap());
        let key = |line: String| Some(line.strip_prefix("GET /data/")?.split(' ').next()?.to_owned());
        lines.into_iter().filter_map(key).collect()
    }
}

/// Copies bytes until the end, or until `go_on` says no: half of what just came is passed on then, and both sides are closed.
fn pass(mut from: TcpStream, mut to: TcpStream, mut go_on: impl FnMut(&[u8]) -> bool) {
    let mut block = vec![0; 1 << 14];
    while let Ok(n @ 1..) = from.read(&mut block) {
        let on = go_on(&block[..n]);
        if to.write_all(&block[..if on { n } else { n / 2 }]).is_err() || !on {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Runs the binary with the variables of a server and of nobody else.
fn cliptune(endpoint: &str, args: &[&str]) -> (i32, String, String) {
    cliptune_with(endpoint, args, &[])
}

fn cliptune_with(endpoint: &str, args: &[&str], more: &[(&str, &Path)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cliptune"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").env("AWS_REGION", "us-east-1");
    command.env("AWS_ENDPOINT_URL", endpoint).env("AWS_ALLOW_HTTP", "true").args(args);
    command.envs(more.iter().copied());
    finished(command)
}

fn finished(mut command: Command) -> (i32, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A spec whose training and validation data are the same.
fn spec(dir: &Path, name: &str, train: &str) -> String {
    let path = dir.join(name);
    let val = format!("{{datasets: [{{image_dir: \"{0}/images\", caption_dir: \"{0}/captions\"}}]}}", dir.display());
    fs::write(&path, format!("dataset:\n  train: {train}\n  val: {val}\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

fn archive(folder: &Path) -> Vec<u8> {
    let gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gz);
    tar.append_dir_all("all", folder).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

fn shard(dir: &Path, keys: &[usize]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for i in keys {
        let (image, text) = (format!("im_{i:02}.png"), format!("im_{i:02}.txt"));
        tar.append_path_with_name(dir.join("images").join(&image), image).unwrap();
        tar.append_path_with_name(dir.join("captions").join(&text), text).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
#[ignore = "needs a local S3 server: tests/golden/s3/fetch_moto.sh"]
fn sources_of_every_kind_hold_on_s3_what_they_hold_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    make_pairs(dir.path(), 6);
    let server = Server::start();
    for folder in ["images", "captions"] {
        server.put_folder(&dir.path().join(folder), &format!("set/{folder}"));
        server.put(&format!("{folder}.tar.gz"), &archive(&dir.path().join(folder)));
    }
    server.put("set/images/im_00.notes", b"nothing of ours");
    server.put("set/list.txt", b"im_01.png\nim_04.png\n");
    for (name, keys) in [("0/a-000.tar", [0, 1]), ("0/a-001.tar", [2, 3]), ("1/b.tar", [4, 5])] {
        server.put(&format!("wds/{name}"), &shard(dir.path(), &keys));
    }
    server.put("wds/shards.txt", b"0/a-{000..001}.tar\ns3://data/wds/1/b.tar\n");
    let list = dir.path().join("two.txt");
    fs::write(&list, "im_01.png\nim_04.png\n").unwrap();
    let mixed = dir.path().join("wds/shards.txt");
    fs::create_dir(dir.path().join("wds")).unwrap();
    fs::write(dir.path().join("wds/here.tar"), shard(dir.path(), &[0, 1])).unwrap();
    fs::write(&mixed, "here.tar\ns3://data/wds/0/a-001.tar\ns3://data/wds/1/b.tar\n").unwrap();

    let (images, captions) = (dir.path().join("images"), dir.path().join("captions"));
    let custom = |images: &str, captions: &str, list: Option<&str>| {
        let list = list.map_or(String::new(), |l| format!(", image_list_file: \"{l}\""));
        format!("{{datasets: [{{image_dir: \"{images}\", caption_dir: \"{captions}\"{list}}}]}}")
    };
    let (images, captions) = (images.to_str().unwrap(), captions.to_str().unwrap());
    let on_disk = [custom(images, captions, None), custom(images, captions, list.to_str())];
    let query = format!("?endpoint_url={}&region=eu-west-1", server.endpoint());
    let [all, two] = on_disk.map(|train| inspect("http://127.0.0.1:1", &spec(dir.path(), "disk.yaml", &train)));
    assert_eq!((all["pairs"].as_u64(), two["pairs"].as_u64()), (Some(6), Some(2)));
    let cases = [
        (custom("s3://data/set/images", "s3://data/set/captions", None), &all),
        (custom("s3://data/set/images/", "s3://data/set/captions/", Some("s3://data/set/list.txt")), &two),
        (custom("s3://data/set/images", captions, list.to_str()), &two),
        (custom("s3://data/images.tar.gz", "s3://data/captions.tar.gz", None), &all),
        ("{type: wds, wds: {root_dir: \"s3://data/wds\"}}".to_owned(), &all),
        ("{type: wds, wds: {shard_list_file: \"s3://data/wds/shards.txt\"}}".to_owned(), &all),
        (format!("{{type: wds, wds: {{shard_list_file: \"{}\"}}}}", mixed.display()), &all),
    ];
    for (train, expected) in &cases {
        let found = inspect(&server.endpoint(), &spec(dir.path(), "s3.yaml", train));
        assert_eq!(found, **expected, "{train}");
    }
    // The server in the address, and not in the environment.
    let train = custom(&format!("s3://data/set/images{query}"), &format!("s3://data/set/captions{query}"), None);
    assert_eq!(inspect("http://127.0.0.1:1", &spec(dir.path(), "s3.yaml", &train)), all);
}

fn inspect(endpoint: &str, spec: &str) -> serde_json::Value {
    let (code, out, err) = cliptune(endpoint, &["data", "inspect", spec, "--json"]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str::<serde_json::Value>(&out).unwrap()["splits"]["train"].clone()
}

#[test]
#[ignore = "needs a local S3 server: tests/golden/s3/fetch_moto.sh"]
fn what_is_wrong_on_s3_is_told_with_its_address_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    make_pairs(dir.path(), 3);
    let server = Server::start();
    server.put_folder(&dir.path().join("images"), "set/images");
    server.put_folder(&dir.path().join("captions"), "set/captions");
    server.put("set/images/im_01.png", b"no image");
    server.put("set/images/im_03.png", &fs::read(dir.path().join("images/im_00.png")).unwrap());
    server.put("wds/a.tar", &shard(dir.path(), &[0]));
    server.put("shards.txt", b"wds/a.tar\nwds/gone.tar\n");
    let at = |images: &str, captions: &str| {
        format!("{{datasets: [{{image_dir: \"s3://{images}\", caption_dir: \"s3://{captions}\"}}]}}")
    };
    let good = at("data/set/images", "data/set/captions");
    let gone = "{type: wds, wds: {shard_list_file: \"s3://data/shards.txt\"}}".to_owned();
    let here = server.endpoint();
    let cases = [
        (&here, &good, 3, "s3://data/set/images/im_01.png: is not an image"),
        (&here, &good, 3, "s3://data/set/captions/im_03.txt: the caption file is missing"),
        (&here, &at("data/nowhere", "data/set/captions"), 3, "s3://data/nowhere does not exist"),
        (&here, &at("nobucket/set", "data/set/captions"), 3, "there is no bucket nobucket"),
        (&here, &at("data/a/../b", "data/set/captions"), 2, "expected s3://bucket/key"),
        (&here, &gone, 3, "s3://data/wds/gone.tar: the shard is missing"),
        (&"http://127.0.0.1:1".to_owned(), &good, 8, "look at AWS_ENDPOINT_URL"),
    ];
    for (endpoint, train, exit, expected) in cases {
        let (code, out, err) = cliptune(endpoint, &["data", "check", &spec(dir.path(), "bad.yaml", train)]);
        assert_eq!((code, out.as_str()), (exit, ""), "{err}");
        assert!(err.contains(expected), "{expected} is not in {err}");
    }
    for (name, value, expected) in [
        ("AWS_ACCESS_KEY_ID", None, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("AWS_ALLOW_HTTP", Some("false"), "set AWS_ALLOW_HTTP=true"),
        ("AWS_ENDPOINT_URL", Some("localhost:9000"), "is no http:// or https:// address"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cliptune"));
        command.env("AWS_ENDPOINT_URL", &here).env("AWS_ALLOW_HTTP", "true");
        if name != "AWS_ACCESS_KEY_ID" {
            command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        }
        if let Some(value) = value {
            command.env(name, value);
        }
        command.args(["data", "check", &spec(dir.path(), "good.yaml", &good)]);
        let (code, _, err) = finished(command);
        assert_eq!(code, 8, "{err}");
        assert!(err.contains(expected), "{expected} is not in {err}");
    }
}

#[test]
#[ignore = "needs a local S3 server: tests/golden/s3/fetch_moto.sh"]
fn training_downloads_what_changed_and_goes_on_where_a_connection_broke() {
    let dir = tempfile::tempdir().unwrap();
    make_pairs(dir.path(), 8);
    let server = Server::start();
    let proxy = Proxy::before(&server);
    server.put("wds/a.tar", &shard(dir.path(), &[0, 1, 2, 3]));
    server.put("wds/b.tar", &shard(dir.path(), &[4, 5, 6, 7]));
    let model = dir.path().join("model.json");
    fs::write(&model, crate::e2e::MODEL).unwrap();
    let path = spec(dir.path(), "spec.yaml", "{type: wds, batch_size: 4, wds: {root_dir: \"s3://data/wds\"}}");
    let results = dir.path().join("results");
    let train = |epochs: &str| {
        let model = format!("model.type={}", model.display());
        let args = ["train", "-e", &path, "--automl", "off", "--results-dir", results.to_str().unwrap(), "--resume"];
        let more = [model.as_str(), "model.image_size=32", "train.precision=fp32", "train.loss_type=clip", epochs];
        let (code, _, err) = cliptune(&proxy.endpoint(), &[&args[..], &more[..]].concat());
        assert_eq!(code, 0, "{err}");
    };
    proxy.cuts.store(3, Ordering::SeqCst);
    train("train.num_epochs=1");
    let first = proxy.downloaded();
    assert!(first.len() > 2 && first.iter().all(|key| key.starts_with("wds/")), "{first:?}");
    assert_eq!(proxy.cuts.load(Ordering::SeqCst), 0);
    let copies = below(&results, "tar");
    assert_eq!(copies.len(), 2, "{copies:?}");
    for (name, keys) in [("a.tar", [0, 1, 2, 3]), ("b.tar", [4, 5, 6, 7])] {
        let copy = copies.iter().find(|path| path.ends_with(name)).unwrap();
        assert!(fs::read(copy).unwrap() == shard(dir.path(), &keys), "{name} is not what was uploaded");
    }
    train("train.num_epochs=1");
    assert_eq!(proxy.downloaded(), [""; 0]);
    server.put("wds/b.tar", &shard(dir.path(), &[7, 6, 5, 4]));
    train("train.num_epochs=1");
    assert_eq!(proxy.downloaded(), ["wds/b.tar"]);
    // Weights as well.
    let weights = below(&results, "safetensors");
    server.put_folder(weights[0].parent().unwrap(), "weights/best");
    let args = ["weights", "check", "s3://data/weights/best", "--model", model.to_str().unwrap()];
    let (code, out, err) = cliptune_with(&proxy.endpoint(), &args, &[("HF_HOME", dir.path())]);
    assert_eq!(code, 0, "{out}{err}");
}

/// The files with an ending below a folder.
fn below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                found.push(path);
            }
        }
    }
    found
}
