/// Lends the address of a span to a C kernel; nil when the span is empty.
///
/// The C loops need pointers with counts; each wrapper proves the counts before it calls them.
@inline(__always)
func reading<A, Result>(_ a: Span<A>, _ body: (UnsafePointer<A>?) -> Result) -> Result {
  unsafe a.withUnsafeBufferPointer { a in unsafe body(a.baseAddress) }
}

/// Lends the addresses of two spans.
@inline(__always)
func reading<A, B, Result>(
  _ a: Span<A>, _ b: Span<B>, _ body: (UnsafePointer<A>?, UnsafePointer<B>?) -> Result
) -> Result {
  unsafe reading(a) { a in unsafe reading(b) { b in unsafe body(a, b) } }
}

/// Lends the addresses of three spans.
@inline(__always)
func reading<A, B, C, Result>(
  _ a: Span<A>, _ b: Span<B>, _ c: Span<C>,
  _ body: (UnsafePointer<A>?, UnsafePointer<B>?, UnsafePointer<C>?) -> Result
) -> Result {
  unsafe reading(a, b) { a, b in unsafe reading(c) { c in unsafe body(a, b, c) } }
}

/// Lends the address of bytes.
@inline(__always)
func reading<Result>(_ bytes: RawSpan, _ body: (UnsafeRawPointer?) -> Result) -> Result {
  unsafe bytes.withUnsafeBytes { bytes in unsafe body(bytes.baseAddress) }
}

/// Lends the address of a span to be written.
@inline(__always)
func writing<A, Result>(
  _ a: inout MutableSpan<A>, _ body: (UnsafeMutablePointer<A>?) -> Result
) -> Result {
  unsafe a.withUnsafeMutableBufferPointer { a in unsafe body(a.baseAddress) }
}

/// Lends the addresses of two spans to be written.
@inline(__always)
func writing<A, B, Result>(
  _ a: inout MutableSpan<A>, _ b: inout MutableSpan<B>,
  _ body: (UnsafeMutablePointer<A>?, UnsafeMutablePointer<B>?) -> Result
) -> Result {
  unsafe writing(&a) { a in unsafe writing(&b) { b in unsafe body(a, b) } }
}

/// Lends the addresses of three spans to be written.
@inline(__always)
func writing<A, B, C, Result>(
  _ a: inout MutableSpan<A>, _ b: inout MutableSpan<B>, _ c: inout MutableSpan<C>,
  _ body: (UnsafeMutablePointer<A>?, UnsafeMutablePointer<B>?, UnsafeMutablePointer<C>?) -> Result
) -> Result {
  unsafe writing(&a, &b) { a, b in unsafe writing(&c) { c in unsafe body(a, b, c) } }
}

/// A value in bytes at any address, for the plain versions of kernels.
@inline(__always)
func load<T: BitwiseCopyable>(_ type: T.Type, from bytes: RawSpan, at byteOffset: Int) -> T {
  precondition(byteOffset >= 0 && byteOffset + MemoryLayout<T>.size <= bytes.byteCount)
  return unsafe bytes.unsafeLoadUnaligned(fromByteOffset: byteOffset, as: T.self)
}
