import Checkpoints
import Kernels

/// The destination or source of the values of a training state, in the same order both ways.
///
/// A state lists its values once, by passing each list to `exchange`: a writer takes the elements, a reader
/// replaces them. So every list that is written is also read at the same place.
package protocol StateArchive: ~Copyable {
  /// Takes the floats, or replaces them by the same number.
  mutating func exchange(_ floats: inout [Float]) throws
  /// Takes the bytes, or replaces them by the same number.
  mutating func exchange(_ bytes: inout [UInt8]) throws
}

/// Writes a state to a file that ends with a CRC-32 of its contents.
package struct StateWriter: ~Copyable, StateArchive {
  private var file: OutputFile
  private var checksum: UInt32

  /// Begins a file.
  ///
  /// - Parameters:
  ///   - path: The file to create.
  ///   - header: The first line, without its line break.
  /// - Throws: `FormatError` when the file cannot be written.
  package init(creating path: String, header: String) throws {
    let line = Array((header + "\n").utf8)
    var file = try OutputFile(creating: path)
    try file.append(line)
    self.init(file, checksum: Checksum.crc32(line))
  }

  private init(_ file: consuming OutputFile, checksum: UInt32) {
    self.file = file
    self.checksum = checksum
  }

  private mutating func append(_ bytes: [UInt8]) throws {
    checksum = Checksum.crc32(unsafe bytes.span.bytes, continuing: checksum)
    try file.append(bytes)
  }

  package mutating func exchange(_ floats: inout [Float]) throws { try append(narrowed(floats, to: .f32)) }

  package mutating func exchange(_ bytes: inout [UInt8]) throws { try append(bytes) }

  /// Completes the file; it is on disk afterwards.
  package mutating func finish() throws {
    try file.append((0..<4).map { UInt8(truncatingIfNeeded: checksum >> ($0 * 8)) })
    try file.sync()
  }
}

/// Reads a state from a file after checking its CRC-32.
package struct StateReader: StateArchive {
  private static let checksumByteCount = 4
  private static let pieceByteCount = 1 << 22
  private let file: MappedFile
  /// The first line, without its line break.
  package let header: [UInt8]
  private var next: Int
  private let end: Int

  /// Opens a file and checks it.
  ///
  /// - Throws: `FormatError` when the file cannot be read, is too short, or has a wrong checksum.
  package init(path: String) throws {
    file = try MappedFile(path: path)
    let end = file.byteCount - Self.checksumByteCount
    guard end > 0 else {
      throw Self.damaged(path, "\(file.byteCount) bytes are no state")
    }
    var computed: UInt32 = 0
    for start in stride(from: 0, to: end, by: Self.pieceByteCount) {
      let piece = start..<min(start + Self.pieceByteCount, end)
      computed = file.withBytes(in: piece) { Checksum.crc32($0, continuing: computed) }
      file.discard(piece)
    }
    let stored = file.withBytes(in: end..<file.byteCount) { bytes in
      (0..<Self.checksumByteCount).reduce(UInt32(0)) { $0 | UInt32(bytes.byte(at: $1)) << ($1 * 8) }
    }
    guard stored == computed else {
      let (stored, computed) = (String(stored, radix: 16), String(computed, radix: 16))
      throw Self.damaged(path, "its checksum is \(computed), stored is \(stored)")
    }
    let lineEnd = file.withBytes(in: 0..<end) { bytes in
      (0..<end).first { bytes.byte(at: $0) == UInt8(ascii: "\n") }
    }
    guard let lineEnd else { throw Self.damaged(path, "its first line has no end") }
    header = file.withBytes(in: 0..<lineEnd) { $0.copiedBytes() }
    next = lineEnd + 1
    self.end = end
  }

  private static func damaged(_ path: String, _ reason: String) -> FormatError {
    // The pipeline names the target instead of files in its work folder, so the place names the file.
    FormatError(
      path, at: "kept state", .malformed("is damaged: \(reason); without --resume the run begins anew"))
  }

  /// Returns the range of the next bytes and moves past them.
  private mutating func take(_ byteCount: Int) throws -> Range<Int> {
    guard byteCount <= end - next else {
      throw FormatError(file.path, .truncated(needed: byteCount, available: end - next))
    }
    defer { next += byteCount }
    return next..<next + byteCount
  }

  package mutating func exchange(_ floats: inout [Float]) throws {
    let range = try take(floats.count * FloatFormat.f32.byteWidth)
    floats = file.withBytes(in: range) { widened($0, from: .f32) }
    file.discard(range)
  }

  package mutating func exchange(_ bytes: inout [UInt8]) throws {
    let range = try take(bytes.count)
    bytes = file.withBytes(in: range) { $0.copiedBytes() }
    file.discard(range)
  }

  /// Checks that no bytes are left.
  ///
  /// - Throws: `FormatError` when the file has bytes that were not read.
  package func finish() throws {
    guard next == end else {
      throw FormatError(file.path, .malformed("\(end - next) bytes follow the last list"))
    }
  }
}
