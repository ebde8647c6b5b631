internal import CCrypto
internal import CZlib
internal import CZstd

/// The versions of the libraries that read and write checkpoints.
package enum LibraryVersions {
  /// Each library with its version.
  package static var all: [(name: String, version: String)] {
    let (crypto, zstd) = (OpenSSL_version_num(), ZSTD_versionNumber())
    return [
      ("libcrypto", "\(crypto >> 28).\(crypto >> 20 & 255).\(crypto >> 4 & 255)"),
      ("zlib", unsafe String(cString: zlibVersion())),
      ("zstd", "\(zstd / 10_000).\(zstd / 100 % 100).\(zstd % 100)"),
    ]
  }
}
