/// The floats that are stored in bytes of a format.
package func widened(_ bytes: RawSpan, from format: FloatFormat) -> [Float] {
  var values = [Float](repeating: 0, count: bytes.byteCount / format.byteWidth)
  var span = values.mutableSpan
  widen(bytes, from: format, into: &span)
  return values
}

/// The floats that are stored in bytes of a format.
package func widened(_ bytes: [UInt8], from format: FloatFormat) -> [Float] {
  let span = bytes.span
  return widened(unsafe span.bytes, from: format)
}

/// Floats rounded to a format, as bytes.
package func narrowed(_ values: [Float], to format: FloatFormat) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: values.count * format.byteWidth)
  var span = bytes.mutableSpan
  narrow(values.span, to: format, into: &span)
  return bytes
}
