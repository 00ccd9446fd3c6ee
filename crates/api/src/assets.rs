//! The files that pages load: parts of the program, at addresses that name their content, so browsers keep them forever.

use std::io::{self, Write};

use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_ENCODING, VARY},
    web::Bytes,
};
use examhall_core::BadPassword;
use flate2::{Compression, write::GzEncoder};
use ring::digest::{SHA256, digest};
use serde_json::json;

use crate::templates::{color_and_text, stylesheet};

const STYLE: &str = include_str!("../assets/style.css");
/// The script of the pages for everybody, without the rules of passwords.
const PAGES: &str = include_str!("../assets/pages.js");
/// In the colours of the default brand.
const ICON: &str = include_str!("../assets/icon.svg");

/// htmx and its extension, in one file: htmx reads the page as soon as it is loaded, and an extension that came later would
/// find nothing left to do.
const HTMX: &str =
    concat!(include_str!("../assets/vendor/htmx.min.js"), "\n", include_str!("../assets/vendor/hx-sse.min.js"));

/// Name, media type and content of each file. `vendor/README.md` says where htmx is from.
const FILES: [(&str, &str, &str); 2] = [
    ("htmx.js", "text/javascript; charset=utf-8", HTMX),
    ("console.js", "text/javascript; charset=utf-8", include_str!("../assets/console.js")),
];

/// The files, with the brand's colours.
pub(crate) struct Assets(Vec<Asset>);

struct Asset {
    name: &'static str,
    /// The first half of its name, a part of its content's hash, and the ending: `style.0f3a.css`.
    file: String,
    content_type: &'static str,
    content: Bytes,
    gzip: Bytes,
}

impl Assets {
    pub(crate) fn new(color: [u8; 3]) -> Self {
        let style = Asset::new("style.css", "text/css; charset=utf-8", stylesheet(color) + STYLE);
        let pages = Asset::new("pages.js", "text/javascript; charset=utf-8", password_rules() + PAGES);
        let icon = Asset::new("icon.svg", "image/svg+xml", icon(color));
        let files = FILES.map(|(name, content_type, content)| Asset::new(name, content_type, content.to_owned()));
        Self([style, pages, icon].into_iter().chain(files).collect())
    }

    /// The path of a file.
    pub(crate) fn path(&self, name: &str) -> String {
        let file = self.0.iter().find(|asset| asset.name == name).map_or(name, |asset| &asset.file);
        format!("/assets/{file}")
    }

    /// The answer at the address of a file, if there is one.
    pub(crate) fn answer(&self, file: &str, takes_gzip: bool) -> Option<HttpResponse> {
        let (asset, is_current) = self.find(file)?;
        let mut response = HttpResponse::Ok();
        response.content_type(asset.content_type).insert_header((VARY, "accept-encoding"));
        if is_current {
            response.insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"));
        } // else of another release, during an update: what there is, and nobody keeps it
        if takes_gzip {
            return Some(response.insert_header((CONTENT_ENCODING, "gzip")).body(asset.gzip.clone()));
        }
        Some(response.body(asset.content.clone()))
    }

    /// The file of this address, and whether it has the content that the address names.
    fn find(&self, file: &str) -> Option<(&Asset, bool)> {
        let (stem, ending) = (file.split('.').next()?, file.rsplit('.').next()?);
        let asset = self.0.iter().find(|asset| asset.name.split_once('.') == Some((stem, ending)))?;
        Some((asset, asset.file == file))
    }
}

impl Asset {
    fn new(name: &'static str, content_type: &'static str, content: String) -> Self {
        let hash = hex::encode(digest(&SHA256, content.as_bytes()).as_ref());
        let (stem, ending) = name.split_once('.').unwrap_or((name, ""));
        let gzip = compressed(content.as_bytes()).unwrap_or_default();
        let file = format!("{stem}.{}.{ending}", hash.get(..16).unwrap_or_default());
        Self { name, file, content_type, content: content.into(), gzip: gzip.into() }
    }
}

/// The rules of passwords, as the script knows them.
fn password_rules() -> String {
    let rules = json!({
        "minChars": BadPassword::MIN_CHARS,
        "maxBytes": BadPassword::MAX_BYTES,
        "common": BadPassword::COMMON,
        "stems": BadPassword::STEMS,
    });
    format!("const RULES = {rules};\n")
}

fn icon(brand: [u8; 3]) -> String {
    let (color, on_color) = color_and_text(brand);
    ICON.replace("#1f5fbf", &color).replace("#fff", &on_color)
}

fn compressed(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(content)?;
    gzip.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_the_content_of_its_file() {
        let (blue, red) = (Assets::new([0, 0, 0xff]), Assets::new([0xff, 0, 0]));
        let [of_blue, of_red] = [&blue, &red].map(|assets| assets.path("style.css"));
        assert!(of_blue != of_red && of_blue.starts_with("/assets/style."));
        let file = |path: &str| path.trim_start_matches("/assets/").to_owned();
        assert!(blue.find(&file(&of_blue)).expect("a file").1);
        assert!(!blue.find(&file(&of_red)).expect("that of another release").1);
        assert_eq!(blue.path("htmx.js"), red.path("htmx.js"));
        for unknown in ["", "style", "style.css.map", "css.style", "other.0123.css", "../style.css"] {
            assert!(blue.find(unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn files_of_others_are_as_they_were_published() {
        let vendor = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/vendor");
        let package = vendor.join("node_modules/htmx.org");
        assert!(
            package.exists(),
            "htmx.org is not installed: run ./scripts/test once, or `npm ci` in {}",
            vendor.display()
        );
        for (ours, theirs) in [
            ("htmx.min.js", "dist/htmx.min.js"),
            ("hx-sse.min.js", "dist/ext/hx-sse.min.js"),
            ("htmx-LICENSE.txt", "LICENSE"),
        ] {
            let read = |path| std::fs::read(path).expect("a file");
            assert!(read(vendor.join(ours)) == read(package.join(theirs)), "{ours}");
        }
    }
}
