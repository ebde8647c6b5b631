internal import Kernels

/// The contents of a safetensors header, each tensor checked by itself.
struct SafetensorsListing {
  /// The header's description of one tensor.
  fileprivate struct Declaration {
    let name: String
    /// Where its key is, from the start of the file.
    let byteOffset: Int
    var dtype: String?
    var shape: [Int]?
    var offsets: Offsets?
  }

  /// The numbers of `data_offsets`; if there are not two, only their count matters.
  fileprivate struct Offsets {
    var begin = 0
    var end = 0
    var count = 0
  }

  private static let metadataKey = "__metadata__"
  /// The size from which a text is read in parts, and of the smallest parts, in bytes.
  private static let partByteCount = 1 << 19

  /// The tensors in the order of the text.
  private(set) var tensors: [TensorInfo] = []
  /// Their bytes, from the start of the file.
  private(set) var ranges: [Range<Int>] = []
  /// The positions of the tensors by name.
  private(set) var positions: [String: Int] = [:]
  /// The strings under `__metadata__`; nil when there are none.
  private(set) var metadata: [String: String]?
  private let place: Place
  /// Whether a repeated name is an error now, not when parts are joined.
  private let checksNames: Bool
  /// The shape of the tensor before, which most tensors share.
  private var shape: [Int] = []
  /// What is read, for an error.
  private var current: String?
  /// The first contradiction; text that is not JSON is reported before it.
  private var problem: FormatError?

  /// Where a header's text is.
  private struct Place {
    /// The bytes of the text in its file; the tensors' bytes follow it.
    let text: Range<Int>
    let fileByteCount: Int
    let path: String
  }

  /// Reads the JSON text, a long one in parts on several threads.
  ///
  /// - Parameters:
  ///   - file: The bytes from the start of the file to the end of the header, or more.
  ///   - range: Where the text is in the file; the tensors' bytes follow it.
  ///   - fileByteCount: The size of the file.
  ///   - path: The path for errors.
  /// - Throws: `FormatError` with the byte and the tensor.
  init(
    parsing file: RawSpan, in range: Range<Int>, fileByteCount: Int, path: String
  ) throws(FormatError) {
    let place = Place(text: range, fileByteCount: fileByteCount, path: path)
    let text = file.extracting(range)
    if let whole = Self.inParts(text, place) {
      self = whole
    } else {
      try self.init(inOrder: text, place)
    }
  }

  private init(_ place: Place, checksNames: Bool) {
    self.place = place
    self.checksNames = checksNames
  }

  private init(inOrder text: RawSpan, _ place: Place) throws(FormatError) {
    self.init(place, checksNames: true)
    var reader = JSONReader(byteCount: text.byteCount)
    do throws(JSONError) {
      try reader.readRepeatableMembers(text) { (reader, key, offset) throws(JSONError) in
        try read(key, at: offset, &reader, text)
      }
      try reader.readEnd(text)
    } catch {
      let member = current.map { $0 == Self.metadataKey ? "metadata" : "tensor '\($0)'" }
      throw FormatError(
        place.path, byte: place.text.lowerBound + error.byteOffset, at: member, .malformed(error.reason))
    }
    if let problem { throw problem }
  }

  /// Reads a member of the header.
  private mutating func read(
    _ key: String, at offset: Int, _ reader: inout JSONReader, _ text: RawSpan
  ) throws(JSONError) {
    if key == Self.metadataKey {
      guard metadata == nil else { throw JSONReader.duplicate(key, at: offset) }
      current = key
      try readMetadata(&reader, text)
    } else {
      if checksNames {
        guard positions.updateValue(positions.count, forKey: key) == nil else {
          throw JSONReader.duplicate(key, at: offset)
        }
      }
      current = key
      var declaration = Declaration(name: key, byteOffset: place.text.lowerBound + offset)
      try declaration.readFields(&reader, text, shape)
      if let new = declaration.shape { shape = new }
      do throws(FormatError) {
        let (tensor, range) = try declaration.checked(
          dataOffset: place.text.upperBound, fileByteCount: place.fileByteCount, path: place.path)
        tensors.append(tensor)
        ranges.append(range)
      } catch {
        problem = problem ?? error
      }
    }
    current = nil
  }
}

extension SafetensorsListing {
  /// Reads parts of a text at the same time.
  ///
  /// - Returns: Nil when the text is short, or anything is wrong: reading in order finds the first error.
  private static func inParts(_ text: RawSpan, _ place: Place) -> SafetensorsListing? {
    let starts = partStarts(of: text)
    guard starts.count > 1 else { return nil }
    var parts = parallelMap(starts.count) { i in
      part(of: text, place, from: starts[i], to: i + 1 < starts.count ? starts[i + 1] : nil)
    }
    let count = parts.reduce(0) { $0 + ($1?.tensors.count ?? 0) }
    // The first part is taken over, not copied.
    guard var whole = parts.removeFirst() else { return nil }
    whole.tensors.reserveCapacity(count)
    whole.ranges.reserveCapacity(count)
    whole.positions.reserveCapacity(count)
    guard whole.addPositions(of: whole.tensors) else { return nil }
    for part in parts {
      guard let part, whole.append(part) else { return nil }
    }
    return whole
  }

  /// Guesses where members begin, about equally far apart: after a brace and a comma.
  private static func partStarts(of text: RawSpan) -> [Int] {
    let count = min(ThreadLimit.current, text.byteCount / partByteCount)
    guard count > 1, text.byte(at: 0) == UInt8(ascii: "{") else { return [] }
    let others = (1..<count).compactMap { i in
      (text.byteCount / count * i..<text.byteCount - 1).first {
        text.byte(at: $0) == UInt8(ascii: "}") && text.byte(at: $0 + 1) == UInt8(ascii: ",")
      }.map { $0 + 2 }
    }
    return [1] + Set(others).sorted()
  }

  /// Reads the members from one byte to another, or to the end of the text.
  ///
  /// - Returns: Nil when there is an error, or the next part does not begin where this one ends: what was
  ///   guessed to be a brace and a comma is inside a string or a field.
  private static func part(
    of text: RawSpan, _ place: Place, from start: Int, to end: Int?
  ) -> SafetensorsListing? {
    var part = SafetensorsListing(place, checksNames: false)
    var reader = JSONReader(byteCount: text.byteCount)
    do throws(JSONError) {
      let isWhole = try reader.readOutermostMembers(text, from: start, to: end ?? .max) {
        (reader, key, offset) throws(JSONError) in
        try part.read(key, at: offset, &reader, text)
      }
      let isPart = isWhole ? end == nil : reader.position == end
      return isPart && part.problem == nil ? part : nil
    } catch {
      return nil
    }
  }

  /// Adds the following members, and returns whether their names are new.
  private mutating func append(_ part: SafetensorsListing) -> Bool {
    if let metadata = part.metadata {
      guard self.metadata == nil else { return false }
      self.metadata = metadata
    }
    guard addPositions(of: part.tensors) else { return false }
    tensors += part.tensors
    ranges += part.ranges
    return true
  }

  /// Adds the positions of the following tensors, and returns whether their names are new.
  private mutating func addPositions(of tensors: [TensorInfo]) -> Bool {
    let tensors = tensors.span
    for i in tensors.indices {
      guard positions.updateValue(positions.count, forKey: tensors[i].name) == nil else { return false }
    }
    return true
  }

  private mutating func readMetadata(_ reader: inout JSONReader, _ text: RawSpan) throws(JSONError) {
    var strings: [String: String] = [:]
    if try !reader.readNull(text) {
      try reader.readMembers(text) { (reader, key, _) throws(JSONError) in
        strings[key] = try reader.readString(text)
      }
    }
    metadata = strings
  }
}

extension SafetensorsListing.Declaration {
  /// Reads the fields of an entry and skips fields with other names.
  ///
  /// - Parameters:
  ///   - reader: At the entry.
  ///   - text: The header's text.
  ///   - likelyShape: A shape whose memory is shared if the tensor has the same.
  /// - Throws: `JSONError` with the byte.
  fileprivate mutating func readFields(
    _ reader: inout JSONReader, _ text: RawSpan, _ likelyShape: [Int]
  ) throws(JSONError) {
    try reader.readMembers(text) { (reader, key, _) throws(JSONError) in
      switch key {
      case "dtype": dtype = try reader.readString(text)
      case "shape": shape = try reader.readCounts(text, likely: likelyShape)
      case "data_offsets": offsets = try reader.readOffsets(text)
      default: _ = try reader.readValue(text)
      }
    }
  }

  /// Checks the numbers against each other and against the size of the file.
  ///
  /// - Parameters:
  ///   - dataOffset: Where the tensors' bytes begin, from the start of the file.
  ///   - fileByteCount: The size of the file.
  ///   - path: The path for errors.
  /// - Returns: The tensor and its bytes in the file.
  /// - Throws: `FormatError` with the byte of the entry.
  fileprivate func checked(
    dataOffset: Int, fileByteCount: Int, path: String
  ) throws(FormatError) -> (TensorInfo, Range<Int>) {
    guard let dtype else { throw error(.missing("field 'dtype'"), path) }
    guard let shape else { throw error(.missing("field 'shape'"), path) }
    guard let offsets else { throw error(.missing("field 'data_offsets'"), path) }
    guard let type = DType(rawValue: dtype) else { throw error(.unsupportedKind("dtype '\(dtype)'"), path) }
    guard let tensor = TensorInfo(checking: name, dtype: type, shape: shape) else {
      throw error(.malformed("shape \(shape) of \(dtype) is too large or not whole bytes"), path)
    }
    guard offsets.count == 2 else {
      throw error(.malformed("data_offsets are \(offsets.count) numbers, not 2"), path)
    }
    let (begin, end) = (offsets.begin, offsets.end)
    guard begin <= end else {
      throw error(.malformed("data_offsets end before they begin: [\(begin), \(end)]"), path)
    }
    guard end - begin == tensor.byteCount else {
      throw error(
        .malformed(
          "shape \(shape) of \(dtype) is \(tensor.byteCount) bytes, data_offsets are \(end - begin)"), path)
    }
    let available = fileByteCount - dataOffset
    guard end <= available else {
      throw error(.truncated(needed: end - begin, available: max(0, available - begin)), path)
    }
    return (tensor, dataOffset + begin..<dataOffset + end)
  }

  private func error(_ problem: FormatError.Problem, _ path: String) -> FormatError {
    FormatError(path, byte: byteOffset, at: "tensor '\(name)'", problem)
  }
}

extension JSONReader {
  /// Reads an array of counts; returns `likely` itself if it is equal.
  fileprivate mutating func readCounts(_ text: RawSpan, likely: [Int]) throws(JSONError) -> [Int] {
    var equalCount = 0
    var counts: [Int]?
    try readElements(text) { (reader) throws(JSONError) in
      let count = try reader.readCount(text)
      if counts == nil, equalCount < likely.count, likely[equalCount] == count {
        equalCount += 1
      } else {
        counts = (counts ?? Array(likely[..<equalCount])) + [count]
      }
    }
    return counts ?? (equalCount == likely.count ? likely : Array(likely[..<equalCount]))
  }

  fileprivate mutating func readOffsets(
    _ text: RawSpan
  ) throws(JSONError) -> SafetensorsListing.Offsets {
    var offsets = SafetensorsListing.Offsets()
    try readElements(text) { (reader) throws(JSONError) in
      let offset = try reader.readCount(text)
      if offsets.count == 0 { offsets.begin = offset }
      if offsets.count == 1 { offsets.end = offset }
      offsets.count += 1
    }
    return offsets
  }
}
