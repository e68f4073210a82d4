//! The hub's client against a server that speaks its protocol: redirects, etags, ranges, and everything that goes wrong.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cliptune::fetch::hub::{Hub, Repository};
use cliptune::journal::failure::FailureKind;
use sha2::Digest;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server does with the content of large files.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Well,
    /// Breaks off in the middle of each download, this many times.
    Breaks(u32),
    /// Sends other bytes of the same length.
    Lies,
    /// Sends nothing.
    Stalls,
    /// Ignores ranges from the middle on, as some proxies do.
    Forgets,
}

struct Server {
    endpoint: String,
    /// Requests: path, range, and whether a token came.
    log: Arc<Mutex<Vec<(String, String, bool)>>>,
    mood: Arc<Mutex<Mood>>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn serve() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (log, mood) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Mood::Well)));
    let server = Server { endpoint: endpoint.clone(), log: log.clone(), mood: mood.clone() };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (endpoint, log, mood) = (endpoint.clone(), log.clone(), mood.clone());
            std::thread::spawn(move || answer(stream.unwrap(), &endpoint, &log, &mood));
        }
    });
    server
}

fn config() -> Vec<u8> {
    b"{\"model_type\": \"siglip\"}".to_vec()
}

fn weights() -> Vec<u8> {
    (0..300_000u32).map(|i| (i % 253) as u8).collect()
}

fn answer(
    stream: TcpStream,
    endpoint: &str,
    log: &Mutex<Vec<(String, String, bool)>>,
    mood: &Mutex<Mood>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut out = stream;
    loop {
        let mut first = String::new();
        reader.read_line(&mut first).ok().filter(|&n| n > 0)?;
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((key, value)) = line.trim().split_once(':') else { break };
            headers.insert(key.to_lowercase(), value.trim().to_owned());
        }
        let path = first.split(' ').nth(1)?.to_owned();
        let range = headers.get("range").cloned().unwrap_or_default();
        log.lock().unwrap().push((path.clone(), range.clone(), headers.contains_key("authorization")));
        let commit = format!("x-repo-commit: {COMMIT}\r\n");
        match path.as_str() {
            "/o/m/resolve/main/config.json" | "/o/m/resolve/0123456789abcdef0123456789abcdef01234567/config.json" => {
                let body = config();
                let etag = hex(&sha1::Sha1::digest([format!("blob {}\0", body.len()).as_bytes(), &body].concat()));
                send(&mut out, &body, &range, &format!("{commit}etag: \"{etag}\"\r\n"), body.len())?;
            }
            // A repository that was renamed.
            "/old/m/resolve/main/config.json" => {
                write!(
                    out,
                    "HTTP/1.1 307 Moved\r\nlocation: /o/m/resolve/main/config.json\r\ncontent-length: 0\r\n\r\n"
                )
                .ok()?;
            }
            p if p.ends_with("/model.safetensors") => {
                let etag = hex(&sha2::Sha256::digest(weights()));
                let size = weights().len();
                write!(
                    out,
                    "HTTP/1.1 302 Found\r\nlocation: {endpoint}/cdn/blob\r\n{commit}x-linked-etag: \"{etag}\"\r\n\
                     x-linked-size: {size}\r\netag: \"other\"\r\ncontent-length: 0\r\n\r\n"
                )
                .ok()?;
            }
            "/cdn/blob" => {
                let mut body = weights();
                let now = *mood.lock().unwrap();
                let probe = range == "bytes=0-0";
                let mut sent = body.len();
                match now {
                    Mood::Breaks(left) if !probe && left > 0 => {
                        *mood.lock().unwrap() = Mood::Breaks(left - 1);
                        sent = 100_000;
                    }
                    Mood::Lies => body[1000] ^= 1,
                    Mood::Stalls if !probe => std::thread::sleep(Duration::from_secs(30)),
                    _ => {}
                }
                let range = if now == Mood::Forgets && !probe { String::new() } else { range };
                send(&mut out, &body, &range, "", sent)?;
            }
            "/private/m/resolve/main/config.json" => {
                write!(out, "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").ok()?;
            }
            "/evil/m/resolve/main/config.json" => {
                let header = format!("{commit}etag: \"../../../../evil\"\r\n");
                send(&mut out, b"x", &range, &header, 1)?;
            }
            _ => write!(out, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").ok()?,
        }
    }
}

/// Sends the range of a body, and closes the connection after `most` bytes of it.
fn send(out: &mut TcpStream, body: &[u8], range: &str, headers: &str, most: usize) -> Option<()> {
    let bounds = range.strip_prefix("bytes=").and_then(|r| r.split_once('-'));
    let start: usize = bounds.map_or(0, |(a, _)| a.parse().unwrap());
    let end = bounds.and_then(|(_, b)| b.parse::<usize>().ok()).map_or(body.len(), |b| b + 1);
    let part = &body[start..end];
    let (status, total) = (if bounds.is_some() { "206 Partial Content" } else { "200 OK" }, body.len());
    let content =
        if bounds.is_some() { format!("content-range: bytes {start}-{}/{total}\r\n", end - 1) } else { String::new() };
    write!(out, "HTTP/1.1 {status}\r\n{headers}{content}content-length: {}\r\n\r\n", part.len()).ok()?;
    out.write_all(&part[..part.len().min(most)]).ok()?;
    if part.len() > most {
        let _ = out.shutdown(std::net::Shutdown::Both);
        return None;
    }
    Some(())
}

fn hub(server: &Server, cache: &Path) -> Hub {
    Hub {
        endpoint: server.endpoint.clone(),
        cache: cache.to_owned(),
        token: Some("hf_secret".to_owned()),
        offline: false,
        patience: Duration::from_secs(20),
        attempts: 4,
    }
}

fn repository(text: &str) -> Repository {
    Repository::parse(text).unwrap().unwrap()
}

#[test]
fn files_are_fetched_once_and_then_come_from_the_cache() {
    let (server, dir) = (serve(), tempfile::tempdir().unwrap());
    let mut hub = hub(&server, dir.path());
    let wanted: &[&[&str]] = &[&["config.json"], &["absent.bin", "model.safetensors"]];
    let folder = hub.snapshot(&repository("hf:o/m"), wanted, &["tokenizer.json"]).unwrap();
    assert!(folder.ends_with(format!("models--o--m/snapshots/{COMMIT}")));
    assert_eq!(std::fs::read(folder.join("config.json")).unwrap(), config());
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), weights());
    {
        let log = server.log.lock().unwrap();
        // The other files are those of the commit that the first one named.
        assert!(log.iter().any(|(path, ..)| path == &format!("/o/m/resolve/{COMMIT}/model.safetensors")));
        assert!(log.iter().filter(|(path, ..)| path.starts_with("/o/")).all(|(.., token)| *token));
    }
    let requests = server.log.lock().unwrap().len();
    assert_eq!(hub.snapshot(&repository("hf:o/m"), wanted, &[]).unwrap(), folder);
    hub.offline = true;
    assert_eq!(hub.snapshot(&repository(&format!("hf:o/m@{COMMIT}")), wanted, &[]).unwrap(), folder);
    assert_eq!(server.log.lock().unwrap().len(), requests);
}

#[test]
fn a_snapshot_that_broke_off_is_completed_without_fetching_anything_twice() {
    let (server, dir) = (serve(), tempfile::tempdir().unwrap());
    let mut hub = hub(&server, dir.path());
    let wanted: &[&[&str]] = &[&["model.safetensors"]];
    *server.mood.lock().unwrap() = Mood::Breaks(1);
    hub.attempts = 1;
    hub.snapshot(&repository("hf:o/m"), wanted, &["config.json", "absent.json"]).unwrap_err();
    let asked = || server.log.lock().unwrap().iter().filter(|(path, ..)| path.ends_with("/config.json")).count();
    let before = asked();
    let folder = hub.snapshot(&repository("hf:o/m"), wanted, &["config.json", "absent.json"]).unwrap();
    // What is needed comes last, so that nothing that may be absent is lost with the connection.
    assert_eq!(std::fs::read(folder.join("config.json")).unwrap(), config());
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), weights());
    assert_eq!(asked(), before);
    // Nor by someone who needs it together with others.
    hub.snapshot(&repository("hf:o/m"), &[&["config.json"], &["model.safetensors"]], &[]).unwrap();
    assert_eq!(asked(), before);
}

#[test]
fn a_renamed_repository_is_followed() {
    let (server, dir) = (serve(), tempfile::tempdir().unwrap());
    let path = hub(&server, dir.path()).file(&repository("hf:old/m"), "config.json").unwrap();
    assert_eq!(std::fs::read(path).unwrap(), config());
}

#[test]
fn a_broken_connection_is_resumed_where_it_broke() {
    let (server, dir) = (serve(), tempfile::tempdir().unwrap());
    *server.mood.lock().unwrap() = Mood::Breaks(2);
    let path = hub(&server, dir.path()).file(&repository("hf:o/m"), "model.safetensors").unwrap();
    assert_eq!(std::fs::read(path).unwrap(), weights());
    let log = server.log.lock().unwrap();
    let ranges: Vec<&str> = log.iter().map(|(_, range, _)| range.as_str()).filter(|r| r.ends_with('-')).collect();
    assert!(ranges.contains(&"bytes=100000-") && ranges.contains(&"bytes=200000-"), "{ranges:?}");
}

#[test]
fn a_download_that_stays_broken_is_resumed_by_the_next_run() {
    let (server, dir) = (serve(), tempfile::tempdir().unwrap());
    *server.mood.lock().unwrap() = Mood::Breaks(1);
    let mut hub = hub(&server, dir.path());
    hub.attempts = 1;
    let failure = hub.file(&repository("hf:o/m"), "model.safetensors").unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    let path = hub.file(&repository("hf:o/m"), "model.safetensors").unwrap();
    assert_eq!(std::fs::read(path).unwrap(), weights());
}

#[test]
fn other_content_than_announced_is_thrown_away() {
    let (server, dir) = (serve(), tempfile::tempdir().unwrap());
    let hub = hub(&server, dir.path());
    *server.mood.lock().unwrap() = Mood::Lies;
    let failure = hub.file(&repository("hf:o/m"), "model.safetensors").unwrap_err();
    assert_eq!(failure.kind, FailureKind::BadCheckpoint);
    assert!(failure.message.contains("its hash is"), "{}", failure.message);
    let blobs = std::fs::read_dir(dir.path().join("models--o--m/blobs")).unwrap();
    assert!(blobs.flatten().all(|e| e.path().extension().is_some_and(|x| x == "lock")));
    *server.mood.lock().unwrap() = Mood::Well;
    hub.file(&repository("hf:o/m"), "model.safetensors").unwrap();
}

#[test]
fn a_server_that_forgets_ranges_does_not_spoil_a_resumed_file() {
    let (server, dir) = (serve(), tempfile::tempdir().unwrap());
    let mut hub = hub(&server, dir.path());
    hub.attempts = 1;
    *server.mood.lock().unwrap() = Mood::Breaks(1);
    hub.file(&repository("hf:o/m"), "model.safetensors").unwrap_err();
    *server.mood.lock().unwrap() = Mood::Forgets;
    hub.attempts = 3;
    let path = hub.file(&repository("hf:o/m"), "model.safetensors").unwrap();
    assert_eq!(std::fs::read(path).unwrap(), weights());
}

#[test]
fn a_stalled_connection_is_given_up() {
    let (server, dir) = (serve(), tempfile::tempdir().unwrap());
    *server.mood.lock().unwrap() = Mood::Stalls;
    let mut hub = hub(&server, dir.path());
    (hub.patience, hub.attempts) = (Duration::from_millis(300), 1);
    let failure = hub.file(&repository("hf:o/m"), "model.safetensors").unwrap_err();
    assert!(failure.message.contains("nothing came"), "{}", failure.message);
}

#[test]
fn absent_files_are_named_with_the_command_that_fetches_them() {
    let (server, dir) = (serve(), tempfile::tempdir().unwrap());
    let mut online = hub(&server, dir.path());
    let wanted: &[&[&str]] = &[&["config.json"], &["a.safetensors", "a.bin"]];
    let none = online.snapshot(&repository("hf:o/m"), wanted, &[]).unwrap_err();
    assert!(none.message.contains("has no a.safetensors and no a.bin"), "{}", none.message);
    online.offline = true;
    let offline = online.snapshot(&repository("hf:x/y@v2"), wanted, &[]).unwrap_err();
    assert_eq!(offline.kind, FailureKind::Unavailable);
    for part in [
        "x/y@v2",
        "HF_HUB_OFFLINE",
        "a.safetensors or a.bin",
        "hf download x/y --revision v2 --local-dir x--y --include config.json a.safetensors a.bin",
    ] {
        assert!(offline.message.contains(part), "{part} in {}", offline.message);
    }
    let mut nowhere = hub(&server, dir.path());
    (nowhere.endpoint, nowhere.attempts) = ("http://127.0.0.1:9".to_owned(), 1);
    let message = nowhere.snapshot(&repository("hf:x/y"), wanted, &[]).unwrap_err().message;
    assert!(message.contains("http://127.0.0.1:9") && message.contains("hf download"), "{message}");
    let private = hub(&server, dir.path()).file(&repository("hf:private/m"), "config.json").unwrap_err().message;
    assert!(private.contains("HF_TOKEN") && !private.contains("hf_secret"), "{private}");
}

#[test]
fn a_server_cannot_choose_where_files_go() {
    let (server, dir) = (serve(), tempfile::tempdir().unwrap());
    let failure = hub(&server, &dir.path().join("a/b/c/d")).file(&repository("hf:evil/m"), "config.json").unwrap_err();
    assert!(failure.message.contains("etag"), "{}", failure.message);
    assert!(!dir.path().join("evil").exists());
}

#[test]
fn names_of_repositories_are_checked() {
    assert!(Repository::parse("some/folder").is_none());
    assert_eq!(repository("hf:google/siglip2@v1.0").revision, "v1.0");
    assert_eq!(repository("hf:google/siglip2").revision, "main");
    for wrong in ["hf:google", "hf:a/b/c", "hf:../b", "hf:a/b@", "hf:a/b@../c", "hf:a/b c"] {
        let message = Repository::parse(wrong).unwrap().unwrap_err().message;
        assert!(message.contains("hf:owner/name"), "{wrong}: {message}");
    }
}

/// A copy of a public repository that the machine lacks is asked for by the names that the repository has.
#[test]
fn every_c_radio_is_looked_for_in_its_own_file_and_its_text_tower_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let check = |path: &str, model: &str, adaptor: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cliptune"));
        command.args(["weights", "check", path, "--model", model, "--adaptor", adaptor]);
        let output = command.env("HF_HOME", dir.path()).env("HF_HUB_OFFLINE", "1").output().unwrap();
        assert_eq!(output.status.code(), Some(8));
        String::from_utf8(output.stderr).unwrap()
    };
    for (model, repository, file) in [
        ("c-radio_v3-b", "nvidia/C-RADIOv3-B", "c-radio_v3-b_half.pth.tar"),
        // Spelled unlike its siblings.
        ("c-radio_v3-l", "nvidia/C-RADIOv3-L", "c-radio-v3_l_half.pth.tar"),
        ("c-radio_v3-h", "nvidia/C-RADIOv3-H", "c-radio_v3-h_half.pth.tar"),
        ("c-radio_v3-g", "nvidia/C-RADIOv3-g", "c-radio_v3-g_half.pth.tar"),
    ] {
        let said = check(&format!("hf:{repository}"), model, "siglip");
        assert!(said.contains(&format!("hf download {repository} ")) && said.contains(file), "{said}");
    }
    // A copy of the repository holds backbones alone under the usual name.
    let copy = dir.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models/radio_clip/radio.pth.tar");
    std::fs::copy(golden, copy.join("c-radio_v3-b_half.pth.tar")).unwrap();
    std::fs::write(copy.join("model.safetensors"), "nothing to be read").unwrap();
    let said = check(copy.to_str().unwrap(), "c-radio_v3-b", "clip");
    assert!(said.contains("apple/DFN5B-CLIP-ViT-H-14-378") && said.contains("copy/teacher first"), "{said}");
}
