//! Media types of files by the ending of their name, as nodemailer guesses them.

/// Media type of what nothing is known of.
const UNKNOWN: &str = "application/octet-stream";

/// Endings and their media types. The first ending of a type names files that have no name.
const TYPES: &[(&str, &str)] = &[
    ("txt", "text/plain"),
    ("log", "text/plain"),
    ("html", "text/html"),
    ("htm", "text/html"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("tsv", "text/tab-separated-values"),
    ("ics", "text/calendar"),
    ("vcf", "text/x-vcard"),
    ("eml", "message/rfc822"),
    ("xml", "application/xml"),
    ("json", "application/json"),
    ("js", "application/javascript"),
    ("pdf", "application/pdf"),
    ("rtf", "application/rtf"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("dotx", "application/vnd.openxmlformats-officedocument.wordprocessingml.template"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xlsm", "application/vnd.ms-excel.sheet.macroenabled.12"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("odg", "application/vnd.oasis.opendocument.graphics"),
    ("epub", "application/epub+zip"),
    ("zip", "application/zip"),
    ("gz", "application/x-gzip"),
    ("tgz", "application/gnutar"),
    ("tar", "application/x-tar"),
    ("bz2", "application/x-bzip2"),
    ("7z", "application/x-7z-compressed"),
    ("rar", "application/x-rar-compressed"),
    ("jar", "application/java-archive"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("svg", "image/svg+xml"),
    ("bmp", "image/bmp"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("ico", "image/x-icon"),
    ("mp3", "audio/mpeg"),
    ("wav", "audio/wav"),
    ("oga", "audio/ogg"),
    ("aac", "audio/x-aac"),
    ("mp4", "video/mp4"),
    ("m4v", "video/x-m4v"),
    ("mov", "video/quicktime"),
    ("avi", "video/avi"),
    ("webm", "video/webm"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("ogv", "video/ogg"),
    ("woff", "application/x-font-woff"),
    ("ttf", "application/x-font-ttf"),
    ("otf", "application/x-font-otf"),
    ("apk", "application/vnd.android.package-archive"),
    ("ps", "application/postscript"),
    ("eps", "application/postscript"),
    ("ai", "application/postscript"),
    ("tex", "application/x-tex"),
    ("p7s", "application/pkcs7-signature"),
    ("p7m", "application/pkcs7-mime"),
    ("p12", "application/pkcs-12"),
    ("crt", "application/pkix-cert"),
    ("cer", "application/pkix-cert"),
    ("pgp", "application/pgp-signature"),
];

/// Returns the media type of a file.
pub(super) fn of(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let known = ending.and_then(|ending| TYPES.iter().find(|(one, _)| *one == ending));
    known.map_or(UNKNOWN, |(_, kind)| kind)
}

/// Returns the ending of a file's name.
pub(super) fn extension(kind: &str) -> &'static str {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    TYPES.iter().find(|(_, one)| one.eq_ignore_ascii_case(kind)).map_or("bin", |(ending, _)| ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_type_follows_the_ending() {
        assert_eq!(
            (of("a.PDF"), of("a.tar.gz"), of("a"), of("")),
            ("application/pdf", "application/x-gzip", UNKNOWN, UNKNOWN)
        );
        assert_eq!(
            (extension("image/JPEG"), extension("text/plain; charset=utf-8"), extension("x/y")),
            ("jpg", "txt", "bin")
        );
    }
}
