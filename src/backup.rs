//! How is all that a running box keeps saved? `jarvis ctl backup`.

use crate::failure::Failure;
use controlplane::client::Client;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::BufRead;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use zeroize::Zeroizing;

/// Has a backup made and puts it at `out`; what the daemon told of it.
///
/// # Errors
///
/// No daemon, its refusal, a job that came to nothing, a disk that does not take the file: then there is none at `out`.
pub(crate) fn run(
    client: &Client,
    out: &Path,
    passphrase_file: Option<&Path>,
    recipient: Option<&str>,
) -> Result<Value, Failure> {
    let mut order = json!({});
    if let Some(file) = passphrase_file {
        order["passphrase"] = read_passphrase(file)?.as_str().into();
    }
    if let Some(recipient) = recipient {
        order["recipient"] = recipient.into();
    }
    let mut job = client.post("/admin/backup", &order)?;
    let id = job["job_id"].as_str().unwrap_or_default().to_owned();
    while job["ended_s"].is_null() {
        job = client.get(&format!("/jobs/{id}?wait=20"))?;
    }
    let Some(backup) = job["result"]["backup_id"].as_str() else {
        let why = job["error"].as_str().unwrap_or("the job was ended");
        return Err(Failure::line(why.to_owned()));
    };
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = out.with_file_name(name);
    let fetched = fetch(client, backup, &part, out, job["result"]["bytes"].as_u64());
    if fetched.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    fetched.map(|()| job["result"].clone())
}

fn fetch(client: &Client, backup: &str, part: &Path, out: &Path, len: Option<u64>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::line(format!("cannot write {}: {error}", part.display()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(part).map_err(failed)?;
    let got = client.download_to(&format!("/admin/backup/{backup}/fetch"), &mut file)?;
    if Some(got) != len {
        return Err(Failure::line(format!("the backup broke off after {got} bytes; ask again")));
    }
    file.sync_all().and_then(|()| std::fs::rename(part, out)).map_err(failed)
}

/// The first line of a file: a passphrase on the command line would be in the list of processes.
pub(crate) fn read_passphrase(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    std::fs::File::open(path).and_then(|file| std::io::BufReader::new(file).read_line(&mut line)).map_err(
        |error| Failure::line(format!("cannot read the passphrase in {}: {error}", path.display())),
    )?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}
