//! Snapshots as text, each encoded once, however often it is scraped.
//!
//! Only the compressed text is kept: it is a twentieth of the plain one, which can be tens of megabytes on a large node. A client that
//! does not take gzip gets it decompressed piece by piece.

use super::{
    collector::text,
    snapshot::{Shared, Snapshot},
};
use crate::metrics::Format;
use axum::body::Body;
use bytes::Bytes;
use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use futures_util::stream;
use std::{
    fmt,
    io::{self, BufWriter, Read as _, Write as _},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{sync::OnceCell, task::spawn_blocking};

/// Size of the pieces in which text is compressed and decompressed, in bytes.
const PIECE: usize = 64 * 1024;

/// The newest snapshot that was asked for, in the formats that it was asked for.
pub struct Encoded {
    shared: Shared,
    newest: Mutex<Arc<Forms>>,
}

/// A snapshot and its texts.
#[derive(Default)]
struct Forms {
    snapshot: Arc<Snapshot>,
    openmetrics: OnceCell<Bytes>,
    prometheus: OnceCell<Bytes>,
}

impl Encoded {
    /// Encodes what is published in `shared`.
    pub fn new(shared: Shared) -> Self {
        let forms = Forms {
            snapshot: shared.load_full(),
            ..Forms::default()
        };
        Self {
            shared,
            newest: Mutex::new(Arc::new(forms)),
        }
    }

    /// The newest snapshot in this format, compressed with gzip.
    ///
    /// # Errors
    /// In words; none in practice, as writing to memory does not fail.
    pub async fn gzip(&self, format: Format) -> Result<Bytes, String> {
        let forms = self.newest();
        let form = match format {
            Format::OpenMetrics => &forms.openmetrics,
            Format::Prometheus => &forms.prometheus,
        };
        // Scrapers that come at the same time wait for one and the same encoding. It is not done on the thread that serves: health
        // probes and followers of failures go on.
        let encode = || async {
            let snapshot = forms.snapshot.clone();
            let encoded = spawn_blocking(move || compress(snapshot, format)).await;
            let encoded = encoded.map_err(|error| error.to_string())?;
            encoded.map_err(|error| error.to_string())
        };
        form.get_or_try_init(encode).await.cloned()
    }

    fn newest(&self) -> Arc<Forms> {
        let snapshot = self.shared.load_full();
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&newest.snapshot, &snapshot) {
            *newest = Arc::new(Forms {
                snapshot,
                ..Forms::default()
            });
        }
        newest.clone()
    }
}

/// A text that is compressed while it is written.
struct Compressor(BufWriter<GzEncoder<Vec<u8>>>);

impl fmt::Write for Compressor {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write_all(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

fn compress(snapshot: Arc<Snapshot>, format: Format) -> io::Result<Bytes> {
    // The names of labels are repeated in each line, so that the fastest level finds almost everything.
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut compressor = Compressor(BufWriter::with_capacity(PIECE, encoder));
    text(snapshot, format, &mut compressor).map_err(io::Error::other)?;
    let encoder = compressor.0.into_inner().map_err(io::IntoInnerError::into_error)?;
    let mut compressed = encoder.finish()?;
    compressed.shrink_to_fit();
    Ok(Bytes::from(compressed))
}

/// Decompresses a text while it is sent.
pub fn decompressed(compressed: Bytes) -> Body {
    let decoder = GzDecoder::new(io::Cursor::new(compressed));
    Body::from_stream(stream::unfold(decoder, async |mut decoder| {
        let mut piece = Vec::with_capacity(PIECE);
        let read = decoder.by_ref().take(PIECE as u64).read_to_end(&mut piece);
        match read {
            Ok(0) => None,
            Ok(_) => Some((Ok(Bytes::from(piece)), decoder)),
            Err(error) => Some((Err(error), decoder)),
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::{super::snapshot::Tick, *};
    use arc_swap::ArcSwap;
    use http_body_util::BodyExt as _;

    fn plain(compressed: &Bytes) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let body = runtime.block_on(decompressed(compressed.clone()).collect());
        String::from_utf8(body.expect("valid gzip").to_bytes().into()).expect("UTF-8")
    }

    fn direct(snapshot: &Arc<Snapshot>, format: Format) -> String {
        let mut out = String::new();
        text(snapshot.clone(), format, &mut out).expect("a text");
        out
    }

    /// Without what is read anew for each text, the agent's own process.
    fn lasting(text: &str) -> Vec<&str> {
        text.lines().filter(|line| !line.starts_with("process_")).collect()
    }

    #[test]
    fn each_snapshot_is_encoded_once_for_each_format() {
        let shared: Shared = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
        let encoded = Encoded::new(shared.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let gzip = |format| runtime.block_on(encoded.gzip(format)).expect("a text");
        let first = gzip(Format::OpenMetrics);
        assert_eq!(gzip(Format::OpenMetrics).as_ptr(), first.as_ptr(), "the same bytes");
        let other = gzip(Format::Prometheus);
        assert_ne!(other.as_ptr(), first.as_ptr());
        assert_eq!(gzip(Format::OpenMetrics).as_ptr(), first.as_ptr(), "still there");
        for (compressed, format) in [(&first, Format::OpenMetrics), (&other, Format::Prometheus)] {
            let (found, expected) = (plain(compressed), direct(&shared.load_full(), format));
            assert_eq!(lasting(&found), lasting(&expected));
            assert_eq!(found.ends_with("# EOF\n"), format == Format::OpenMetrics);
        }
        shared.store(Arc::new(Snapshot {
            tick: Tick {
                error: Some("a new one".to_owned()),
                ..Tick::default()
            },
            ..Snapshot::default()
        }));
        assert_ne!(gzip(Format::OpenMetrics).as_ptr(), first.as_ptr(), "a new snapshot");
    }

    #[test]
    fn counters_have_their_full_name_in_prometheus_text_only() {
        let snapshot = Arc::new(Snapshot::default());
        let (prometheus, openmetrics) = (
            direct(&snapshot, Format::Prometheus),
            direct(&snapshot, Format::OpenMetrics),
        );
        let [name, sample] = ["narrows_mended_connections", "narrows_mended_connections_total 0.0"];
        assert!(
            prometheus.contains(&format!("\n# TYPE {name}_total counter\n{sample}\n")),
            "{prometheus}"
        );
        assert!(
            openmetrics.contains(&format!("\n# TYPE {name} counter\n{sample}\n")),
            "{openmetrics}"
        );
        assert_eq!(openmetrics.matches("# EOF").count(), 1);
        assert!(!prometheus.contains("# EOF"));
        // All else is the same.
        let samples = |text: &str| {
            let lines = lasting(text).into_iter().filter(|line| !line.starts_with('#'));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(samples(&prometheus), samples(&openmetrics));
    }
}
