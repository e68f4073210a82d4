//! Objects of a bucket on S3 or on a server that speaks its protocol: listed, looked up, downloaded. Server and credentials come
//! from the usual variables (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION …).
//!
//! The one place with an asynchronous runtime, which lives as long as a call.

use std::fs::{self, OpenOptions};
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, ClientConfigKey, ClientOptions, Error, GetOptions, GetRange, ObjectMeta, ObjectStore,
    ObjectStoreExt, RetryConfig,
};

use super::address::Address;
use crate::base::files::with_path;
use crate::journal::failure::{Failure, FailureKind};

/// Requests under way at a time.
const AT_ONCE: usize = 16;
/// Most objects of a listing.
const MAX_OBJECTS: usize = 20_000_000;
/// A connection that brings nothing for so long has broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// An object as the server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// What the server calls its content.
    pub etag: String,
    /// Its size.
    pub bytes: u64,
}

impl From<ObjectMeta> for Object {
    fn from(meta: ObjectMeta) -> Self {
        // Without an etag, the time says when the content changed.
        let etag = meta.e_tag.unwrap_or_else(|| meta.last_modified.timestamp_micros().to_string());
        Self { key: meta.location.to_string(), etag, bytes: meta.size }
    }
}

/// A bucket on a server.
#[derive(Debug)]
pub struct Bucket {
    store: AmazonS3,
    address: Address,
}

impl Bucket {
    /// The bucket of an address. Nothing is sent yet.
    ///
    /// # Errors
    /// `Unavailable` when the variables do not say how to get there.
    pub fn of(address: &Address) -> Result<Self, Failure> {
        static CRYPTOGRAPHY: Once = Once::new();
        CRYPTOGRAPHY.call_once(|| {
            // An error says that there is one already.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(&address.bucket);
        if let Some(region) = &address.region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &address.endpoint {
            builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
        }
        let value = |key: AmazonS3ConfigKey| builder.get_config_value(&key).filter(|v| !v.is_empty());
        let endpoint = value(AmazonS3ConfigKey::S3Endpoint).or_else(|| value(AmazonS3ConfigKey::Endpoint));
        let allow_http = value(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp)).is_some_and(|v| is_on(&v));
        let refuse = |why: &str| Err(Failure::new(FailureKind::Unavailable, format!("{address}: {why}")));
        if let Some(endpoint) = &endpoint {
            if endpoint.starts_with("http://") && !allow_http {
                return refuse(&format!("{endpoint} is not encrypted; set AWS_ALLOW_HTTP=true to use it all the same"));
            }
            if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
                return refuse(&format!("the endpoint {endpoint:?} is no http:// or https:// address"));
            }
            // Machines of Amazon have credentials of their own; elsewhere, to ask for them only takes time.
            let given = [
                AmazonS3ConfigKey::AccessKeyId,
                AmazonS3ConfigKey::SecretAccessKey,
                AmazonS3ConfigKey::WebIdentityTokenFile,
                AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
                AmazonS3ConfigKey::ContainerCredentialsFullUri,
            ];
            let open = value(AmazonS3ConfigKey::SkipSignature).is_some_and(|v| is_on(&v));
            if !open && given.into_iter().all(|key| value(key).is_none()) {
                return refuse(
                    "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), \
                     or AWS_SKIP_SIGNATURE=true for a public bucket",
                );
            }
        }
        let options = ClientOptions::new()
            .with_allow_http(allow_http)
            .with_connect_timeout(Duration::from_secs(10))
            .with_read_timeout(PATIENCE)
            // Large objects take long; what matters is that something comes.
            .with_timeout_disabled();
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(5),
                base: 2.0,
            },
            max_retries: 4,
            retry_timeout: PATIENCE,
        };
        match builder.with_client_options(options).with_retry(retry).build() {
            Ok(store) => Ok(Self { store, address: address.clone() }),
            Err(e) => refuse(&e.to_string()),
        }
    }

    /// The objects below the key of the address that are wanted, by key.
    ///
    /// # Errors
    /// `BadData` when the bucket does not exist; `Unavailable` when it cannot be reached or read.
    pub fn list(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Object>, Failure> {
        let prefix = self.key(&self.address.key)?;
        let listed = wait(async {
            let mut objects = Vec::new();
            let mut found = self.store.list((!self.address.key.is_empty()).then_some(&prefix));
            while let Some(meta) = found.try_next().await.map_err(|e| self.told(&self.address.key, &e))? {
                // Some tools mark folders by empty objects.
                let object = Object::from(meta);
                let below = object.key.strip_prefix(&self.address.key).unwrap_or_default().trim_start_matches('/');
                if !below.is_empty() && wanted(below) {
                    objects.push(object);
                }
                if objects.len() > MAX_OBJECTS {
                    return Err(self.bad(&self.address.key, &format!("holds more than {MAX_OBJECTS} objects")));
                }
            }
            Ok(objects)
        })?;
        let mut objects = listed?;
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    /// What lies at some keys; `None` where there is nothing.
    ///
    /// # Errors
    /// As [`Bucket::list`].
    pub fn look_up(&self, keys: &[&str]) -> Result<Vec<Option<Object>>, Failure> {
        let keys: Vec<Key> = keys.iter().map(|key| self.key(key)).collect::<Result<_, _>>()?;
        let one = async |key: &Key| match self.store.head(key).await {
            Ok(meta) => Ok(Some(Object::from(meta))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.told(key.as_ref(), &e)),
        };
        wait(stream::iter(&keys).map(one).buffered(AT_ONCE).try_collect())?
    }

    /// Downloads objects, each to its path. What comes is whole or not there; a download that was cut off goes on where it
    /// ended, in this call or in a later one.
    ///
    /// # Errors
    /// `BadData` when an object is gone or has changed; `Unavailable` when it cannot be had; `DiskFull` or `Io`.
    pub fn download<'a>(&self, objects: impl IntoIterator<Item = (&'a Object, &'a Path)>) -> Result<(), Failure> {
        let one = |(object, to)| self.fetch(object, to);
        wait(stream::iter(objects).map(one).buffer_unordered(AT_ONCE).try_collect())?
    }

    async fn fetch(&self, object: &Object, to: &Path) -> Result<(), Failure> {
        let part = to.with_extension("part");
        loop {
            let have = fs::metadata(&part).map_or(0, |m| m.len());
            // A part that is longer belongs to a download that went wrong.
            let from = if have > object.bytes { 0 } else { have };
            let broken = match self.append(object, &part, from).await {
                Ok(()) => None,
                Err(Stopped::For(failure)) => return Err(failure),
                Err(Stopped::Broken(why)) => Some(why),
            };
            let now = fs::metadata(&part).map_or(0, |m| m.len());
            if now == object.bytes {
                break;
            }
            // It goes on as long as every attempt brings something.
            if now <= from {
                let why = broken.unwrap_or_else(|| "the server sends less than it announced".to_owned());
                let what = format!("{}: {why}; {now} of {} bytes are here", self.name(&object.key), object.bytes);
                return Err(Failure::new(FailureKind::Unavailable, what));
            }
        }
        fs::rename(&part, to).map_err(with_path(to))?;
        Ok(())
    }

    /// Appends what comes from byte `from` on.
    async fn append(&self, object: &Object, part: &Path, from: u64) -> Result<(), Stopped> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(part)
            .and_then(|file| file.set_len(from).map(|()| file))
            .map_err(with_path(part))?;
        if from < object.bytes {
            let options = GetOptions {
                if_match: Some(object.etag.clone()).filter(|tag| tag.starts_with('"')),
                range: Some(GetRange::Bounded(from..object.bytes)),
                ..GetOptions::default()
            };
            let key = self.key(&object.key)?;
            let answer = self.store.get_opts(&key, options).await.map_err(|e| self.told(&object.key, &e))?;
            let mut come = from;
            let mut stream = answer.into_stream();
            while let Some(bytes) = stream.next().await {
                let bytes = bytes.map_err(|e| Stopped::Broken(e.to_string()))?;
                come += bytes.len() as u64;
                if come > object.bytes {
                    return Err(Stopped::For(self.bad(&object.key, "is larger than the server announced")));
                }
                file.write_all(&bytes).map_err(with_path(part))?;
            }
        }
        file.sync_data().map_err(with_path(part))?;
        Ok(())
    }

    fn key(&self, key: &str) -> Result<Key, Failure> {
        Key::parse(key).map_err(|e| self.bad(key, &format!("is a key that cannot be read: {e}")))
    }

    fn name(&self, key: &str) -> String {
        Address { key: key.to_owned(), ..self.address.clone() }.to_string()
    }

    fn bad(&self, key: &str, why: &str) -> Failure {
        Failure::new(FailureKind::BadData, format!("{}: {why}", self.name(key)))
    }

    fn told(&self, key: &str, error: &Error) -> Failure {
        let text = in_one_line(&error.to_string());
        match error {
            _ if text.contains("NoSuchBucket") => self.bad(key, &format!("there is no bucket {}", self.address.bucket)),
            Error::NotFound { .. } => self.bad(key, "does not exist"),
            Error::Precondition { .. } => self.bad(key, "changed while it was read; run the same command again"),
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                let what = "may not be read with these credentials; look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and \
                            AWS_REGION, or set AWS_SKIP_SIGNATURE=true for a public bucket";
                Failure::new(FailureKind::Unavailable, format!("{}: {what} ({text})", self.name(key)))
            }
            _ => {
                let what = "cannot be had; look at AWS_ENDPOINT_URL, AWS_REGION and the network";
                Failure::new(FailureKind::Unavailable, format!("{}: {what} ({text})", self.name(key)))
            }
        }
    }
}

/// Why bytes stopped coming.
enum Stopped {
    /// A connection broke: another attempt may go on.
    Broken(String),
    /// Trying again does not help.
    For(Failure),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::For(failure)
    }
}

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Self {
        Self::For(Failure::io(&error))
    }
}

/// An error's text, of whose XML only the code is left.
fn in_one_line(text: &str) -> String {
    let Some((head, xml)) = text.split_once(": <?xml") else { return text.to_owned() };
    let code = xml.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    code.map_or_else(|| head.to_owned(), |(code, _)| format!("{head}: {code}"))
}

fn is_on(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on" | "y" | "t")
}

fn wait<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime
        .map_err(|e| Failure::new(FailureKind::Unknown, format!("cannot start what waits for the network: {e}")))?;
    Ok(runtime.block_on(work))
}
