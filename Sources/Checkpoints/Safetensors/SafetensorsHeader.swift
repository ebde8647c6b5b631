/// The validated header of a safetensors file: its tensors, and their places.
///
/// Every file is read through here; `Formats/safetensors.md` has the rules.
package struct SafetensorsHeader: Sendable {
  /// A tensor and the place of its bytes.
  package struct Entry: Sendable, Equatable {
    /// The tensor.
    package let tensor: TensorInfo
    /// Its bytes, from the start of the file.
    package let range: Range<Int>
  }

  /// The longest header that is read, in bytes; the limit of the reference implementation.
  package static let byteCountLimit = 100_000_000

  /// The tensors in the order of their bytes.
  package let tensors: [TensorInfo]
  /// The bytes of each tensor, from the start of the file.
  package let ranges: [Range<Int>]
  /// The positions of the tensors by name.
  let positions: [String: Int]
  /// The strings under `__metadata__`.
  package let metadata: [String: String]

  /// Reads and validates the header of a file.
  ///
  /// - Parameters:
  ///   - file: The whole file; only the header is touched.
  ///   - path: The path for errors.
  /// - Throws: `FormatError` with the byte and the tensor.
  package init(parsing file: RawSpan, path: String) throws(FormatError) {
    try self.init(parsing: file, fileByteCount: file.byteCount, path: path)
  }

  /// Reads and validates the header of a file that is not in memory.
  ///
  /// - Parameters:
  ///   - file: The bytes from the start of the file to the end of the header, or more.
  ///   - fileByteCount: The size of the file.
  ///   - path: The path for errors.
  /// - Throws: `FormatError` with the byte and the tensor.
  init(parsing file: RawSpan, fileByteCount: Int, path: String) throws(FormatError) {
    let text = try Self.textRange(of: file, fileByteCount: fileByteCount, path: path)
    let listing = try SafetensorsListing(parsing: file, in: text, fileByteCount: fileByteCount, path: path)
    metadata = listing.metadata ?? [:]
    let ranges = listing.ranges
    if ranges.indices.dropFirst().allSatisfy({ !Self.isBefore(ranges[$0], ranges[$0 - 1]) }) {
      (tensors, self.ranges, positions) = (listing.tensors, ranges, listing.positions)
    } else {
      let order = ranges.indices.sorted { Self.isBefore(ranges[$0], ranges[$1]) }
      let tensors = order.map { listing.tensors[$0] }
      self.tensors = tensors
      self.ranges = order.map { ranges[$0] }
      positions = Dictionary(
        tensors.indices.lazy.map { (tensors[$0].name, $0) }, uniquingKeysWith: { first, _ in first })
    }
    try checkCoverage(of: text.upperBound..<fileByteCount, path: path)
  }

  private static func isBefore(_ a: Range<Int>, _ b: Range<Int>) -> Bool {
    (a.lowerBound, a.upperBound) < (b.lowerBound, b.upperBound)
  }

  /// The number of bytes that `textRange` needs to find the end of the header.
  static let startByteCount = 64

  /// Where the JSON text is.
  ///
  /// - Parameters:
  ///   - file: The first `startByteCount` bytes, or all there are, or more.
  ///   - fileByteCount: The size of the file.
  ///   - path: The path for errors.
  /// - Returns: Byte offsets from the start of the file.
  /// - Throws: `FormatError` when it is not a header, or longer than the file.
  static func textRange(
    of file: RawSpan, fileByteCount: Int, path: String
  ) throws(FormatError) -> Range<Int> {
    try GitPointer.refuse(file, path: path)
    guard file.byteCount >= 8 else {
      throw FormatError(path, byte: 0, .truncated(needed: 8, available: file.byteCount))
    }
    let byteCount: UInt64 = file.integer(at: 0)
    guard byteCount <= UInt64(byteCountLimit) else {
      throw FormatError(
        path, byte: 0, .malformed("header of \(byteCount) bytes, the limit is \(byteCountLimit)"))
    }
    guard byteCount >= 2 else {
      throw FormatError(path, byte: 0, .malformed("header of \(byteCount) bytes, too short to be one"))
    }
    guard Int(byteCount) <= fileByteCount - 8 else {
      throw FormatError(path, byte: 8, .truncated(needed: Int(byteCount), available: fileByteCount - 8))
    }
    return 8..<8 + Int(byteCount)
  }

  /// Checks that the tensors cover the data exactly once, without gaps or trailing bytes.
  private func checkCoverage(of data: Range<Int>, path: String) throws(FormatError) {
    var end = data.lowerBound
    for (i, range) in ranges.enumerated() {
      let start = range.lowerBound
      guard start == end else {
        let reason =
          start > end
          ? "\(start - end) bytes before it belong to no tensor"
          : "its bytes overlap those of '\(i > 0 ? tensors[i - 1].name : "")'"
        throw FormatError(path, byte: min(start, end), at: "tensor '\(tensors[i].name)'", .malformed(reason))
      }
      end = range.upperBound
    }
    guard end == data.upperBound else {
      throw FormatError(path, byte: end, .malformed("\(data.upperBound - end) bytes follow the last tensor"))
    }
  }

  /// The tensors with their places, in the order of their bytes.
  package var entries: [Entry] { tensors.indices.map(entry) }

  /// The tensor at a position, and its place.
  func entry(_ position: Int) -> Entry { Entry(tensor: tensors[position], range: ranges[position]) }
}
