extension Int {
  /// Reads a size such as `500MB`, above 0 bytes; nil for anything else.
  ///
  /// Units are decimal, as on Hugging Face, and a number alone counts bytes.
  ///
  /// - Parameter text: The text.
  public init?(size text: String) {
    let units = ["": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12]
    let number = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    let unit = text.dropFirst(number.count).uppercased()
    guard let count = Double(number), let factor = units[unit],
      let byteCount = Int(exactly: (count * factor).rounded(.down)), byteCount > 0
    else { return nil }
    self = byteCount
  }
}
