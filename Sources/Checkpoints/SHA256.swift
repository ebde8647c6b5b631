internal import CCrypto

/// A running SHA-256 hash, computed by OpenSSL's libcrypto.
@safe struct SHA256: ~Copyable, @unchecked Sendable {
  private let context: OpaquePointer

  /// Keeps libcrypto from freeing its state when the program exits: another thread may still be hashing then.
  private static let isReady = OPENSSL_init_crypto(UInt64(OPENSSL_INIT_NO_ATEXIT), nil) == 1

  /// Begins a hash of no bytes.
  init() {
    precondition(Self.isReady, "libcrypto cannot be initialized")
    guard let context = unsafe EVP_MD_CTX_new(), unsafe EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1
    else { preconditionFailure("libcrypto has no SHA-256, or there is no memory for it") }
    unsafe self.context = context
  }

  deinit { unsafe EVP_MD_CTX_free(context) }

  /// Adds the bytes of a span.
  mutating func update(_ bytes: RawSpan) {
    // libcrypto reads the bytes and keeps no pointer to them.
    let isAdded = unsafe bytes.withUnsafeBytes {
      unsafe EVP_DigestUpdate(context, $0.baseAddress, $0.count) == 1
    }
    precondition(isAdded, "libcrypto cannot hash")
  }

  /// Adds the bytes of an array.
  mutating func update(_ bytes: [UInt8]) { unsafe update(bytes.span.bytes) }

  /// The digest of all added bytes; nothing can be added afterwards.
  mutating func finalize() -> Digest256 {
    var digest = [UInt8](repeating: 0, count: Digest256.byteCount)
    let isWhole = unsafe digest.withUnsafeMutableBufferPointer {
      unsafe EVP_DigestFinal_ex(context, $0.baseAddress, nil) == 1
    }
    precondition(isWhole, "libcrypto cannot hash")
    return Digest256(unsafe digest.span.bytes, at: 0)
  }
}
