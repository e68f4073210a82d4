//! The page in a real browser: what stands in it once its script has run, that it sorts and brings trials out, and that the
//! browser has nothing to complain of.

use std::path::Path;
use std::process::Command;

use super::{HOSTILE, TRIALS, stdout, workspace};

/// Headless Chromium on a page; `more` are its switches. What it prints and what it logs.
fn chromium(page: &Path, more: &[&str]) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--v=0", "--virtual-time-budget=4000"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(more)
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Whatever the page itself wrote to the console.
fn console(log: &str) -> Vec<&str> {
    log.lines().filter(|l| l.contains("CONSOLE")).collect()
}

#[test]
#[ignore = "needs Chromium (apt-get install chromium)"]
fn page_has_everything_and_the_browser_no_complaint() {
    let root = workspace();
    stdout(root.path(), &["report", "study", "-o", "page.html"]);
    let page = root.path().join("page.html");
    let (dom, log) = chromium(&page, &["--dump-dom"]);
    assert_eq!(console(&log), Vec::<&str>::new());
    assert!(dom.contains("data-ready=\"\""), "the script has run to its end");
    assert!(!dom.contains("<title>owned"), "words of others are not run");
    let leaderboard = &dom[dom.find("id=\"leaderboard-table\"").unwrap()..];
    let leaderboard = &leaderboard[..leaderboard.find("</table>").unwrap()];
    assert_eq!(leaderboard.matches("<tr data-trial=").count(), TRIALS as usize);
    assert!(dom.matches("<svg class=\"plot\"").count() >= 10);
    assert!(dom.contains("a red square &lt;/script&gt;"));
    let images = dom.matches("<img ").count();
    assert_eq!((images, dom.matches("src=\"data:image/").count()), (images, images));
    assert!(images >= 3);
    let shot = root.path().join("page.png");
    chromium(&page, &[&format!("--screenshot={}", shot.display()), "--window-size=1280,4200"]);
    let image = tiny_skia::Pixmap::decode_png(&std::fs::read(shot).unwrap()).unwrap();
    let best = cliptune::report::draw::Ink::Best.light();
    let blue = image.pixels().iter().filter(|p| [p.red(), p.green(), p.blue()] == best).count();
    assert!(blue > 1000, "the best trial is seen: {blue} pixels");
}

#[test]
#[ignore = "needs Chromium (apt-get install chromium)"]
fn page_sorts_its_tables_and_brings_trials_out() {
    let root = workspace();
    let page = stdout(root.path(), &["report", "study", "-o", "-"]);
    // The policy allows the page's own script alone, so that the test's is taken into a copy without one.
    let policy = page.lines().find(|l| l.contains("Content-Security-Policy")).unwrap();
    let script = r##"<script>
      const order = () => [...document.querySelectorAll("#leaderboard-table tbody tr")].map((r) => r.dataset.trial).join(",");
      const heading = [...document.querySelectorAll("#leaderboard-table th")].find((h) => h.textContent === "trial");
      heading.click();
      document.body.dataset.up = order();
      heading.click();
      document.body.dataset.down = order();
      const dot = document.querySelector("#progress circle[data-trial='3']");
      const event = (type) => new PointerEvent(type, { bubbles: true, clientX: 50, clientY: 50 });
      dot.dispatchEvent(event("pointermove"));
      document.body.dataset.shown = document.getElementById("tip").textContent;
      document.body.dataset.lit = [...new Set([...document.querySelectorAll(".on")].map((e) => e.closest("section").id))].sort().join(",");
      document.getElementById("theme").click();
    </script></body>"##;
    let copy = root.path().join("copy.html");
    std::fs::write(&copy, page.replace(policy, "").replace("</body>", script)).unwrap();
    let (dom, log) = chromium(&copy, &["--dump-dom"]);
    assert_eq!(console(&log), Vec::<&str>::new());
    let of = |name: &str| {
        let rest =
            &dom[dom.find(&format!(" data-{name}=\"")).unwrap_or_else(|| panic!("no {name}")) + name.len() + 8..];
        rest[..rest.find('"').unwrap()].to_owned()
    };
    let numbers: Vec<String> = (0..TRIALS).map(|t| t.to_string()).collect();
    assert_eq!(of("up"), numbers.join(","));
    assert_eq!(of("down"), numbers.into_iter().rev().collect::<Vec<_>>().join(","));
    assert!(of("shown").starts_with("trial 0003  completed"), "{}", of("shown"));
    assert_eq!(of("lit"), "curves,gantt,leaderboard,loss,parallel,progress,slices");
    assert_eq!(of("theme"), "dark");
    // Under the policy the same script is refused.
    let refused = root.path().join("refused.html");
    std::fs::write(&refused, page.replace("</body>", script)).unwrap();
    let (dom, log) = chromium(&refused, &["--dump-dom"]);
    assert!(!dom.contains("data-up="), "a script that is not the page's own was run");
    assert!(console(&log).iter().any(|l| l.contains("Content Security Policy")), "{log}");
    assert!(
        page.contains(
            &HOSTILE
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
                .replace('\'', "&#39;")
        )
    );
}
