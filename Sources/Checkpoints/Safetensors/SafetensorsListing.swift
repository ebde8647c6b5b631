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
  /// The number of tensors whose length is used to guess the total number, and the maximum of the guess.
  private static let guessCount = 8
  private static let guessLimit = 1 << 18

  /// The tensors in the order of the text.
  private(set) var entries: [SafetensorsHeader.Entry] = []
  /// The positions of the entries by name.
  private(set) var positions: [String: Int] = [:]
  private(set) var metadata: [String: String] = [:]
  /// The shape of the tensor before, which most tensors share.
  private var shape: [Int] = []

  /// Reads the JSON text.
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
    let text = file.extracting(range)
    let start = range.lowerBound
    var reader = JSONReader(byteCount: text.byteCount)
    var current: String?
    var hasMetadata = false
    // Text that is not JSON is reported before a tensor that contradicts itself.
    var problem: FormatError?
    do throws(JSONError) {
      try reader.readRepeatableMembers(text) { (reader, key, offset) throws(JSONError) in
        if key == Self.metadataKey {
          guard !hasMetadata else { throw JSONReader.duplicate(key, at: offset) }
          hasMetadata = true
          current = key
          try readMetadata(&reader, text)
        } else {
          guard positions.updateValue(positions.count, forKey: key) == nil else {
            throw JSONReader.duplicate(key, at: offset)
          }
          current = key
          var declaration = Declaration(name: key, byteOffset: start + offset)
          try declaration.readFields(&reader, text, shape)
          if let new = declaration.shape { shape = new }
          do throws(FormatError) {
            entries.append(
              try declaration.entry(dataOffset: range.upperBound, fileByteCount: fileByteCount, path: path))
          } catch {
            problem = problem ?? error
          }
          if positions.count == Self.guessCount { makeRoom(reader.position, of: text.byteCount) }
        }
        current = nil
      }
      try reader.readEnd(text)
    } catch {
      let place = current.map { $0 == Self.metadataKey ? "metadata" : "tensor '\($0)'" }
      throw FormatError(path, byte: start + error.byteOffset, at: place, .malformed(error.reason))
    }
    if let problem { throw problem }
  }

  /// Reserves memory once, assuming that later tensors take as much text as those read so far.
  private mutating func makeRoom(_ position: Int, of byteCount: Int) {
    let guess = min(byteCount / max(1, position / Self.guessCount), Self.guessLimit)
    entries.reserveCapacity(guess)
    positions.reserveCapacity(guess)
  }

  private mutating func readMetadata(_ reader: inout JSONReader, _ text: RawSpan) throws(JSONError) {
    if try reader.readNull(text) { return }
    try reader.readMembers(text) { (reader, key, _) throws(JSONError) in
      metadata[key] = try reader.readString(text)
    }
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
  /// - Returns: The tensor and its place in the file.
  /// - Throws: `FormatError` with the byte of the entry.
  func entry(dataOffset: Int, fileByteCount: Int, path: String) throws(FormatError) -> SafetensorsHeader.Entry
  {
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
    return SafetensorsHeader.Entry(tensor: tensor, range: dataOffset + begin..<dataOffset + end)
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
