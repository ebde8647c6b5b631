/// The validated header of a GGUF file: metadata, and the places of tensors.
///
/// Every file is read through here; `Formats/gguf.md` has the rules.
package struct GGUFHeader: Sendable {
  /// A tensor and the place of its bytes.
  package struct Entry: Sendable, Equatable {
    /// The name, verbatim as in the file.
    package let name: String
    /// How the values are stored.
    package let type: GGUFTensorType
    /// The dimensions, slowest first, the reverse of the file's order; a row is whole blocks.
    package let shape: [Int]
    /// The bytes of the blocks, from the start of the file.
    package let range: Range<Int>
  }

  /// The format's version, 2 or 3.
  package let version: Int
  /// The keys and values.
  package let metadata: GGUFMetadata
  /// The alignment of tensor offsets, in bytes.
  package let alignment: Int
  /// The tensors in the order of their bytes.
  package let entries: [Entry]

  /// The first bytes of a file.
  package static let magic: StaticString = "GGUF"
  /// The alignment of a file that does not state one.
  package static let defaultAlignment = 32
  /// The key of the alignment.
  package static let alignmentKey = "general.alignment"

  /// The size of the first read; most headers have a few megabytes because of their vocabulary.
  private static let firstPieceByteCount = 1 << 20

  /// Reads and validates the header of a file, in growing pieces until one holds the whole header.
  ///
  /// - Parameter file: The file.
  /// - Throws: `FormatError` with the byte and the key or tensor.
  package init(of file: InputFile) throws(FormatError) {
    var pieceByteCount = min(file.byteCount, Self.firstPieceByteCount)
    while true {
      let header = try file.withBytes(in: 0..<pieceByteCount) { bytes throws(FormatError) in
        try GGUFHeader(parsing: bytes, fileByteCount: file.byteCount, path: file.path)
      }
      if let header {
        self = header
        return
      }
      // A piece that is the whole file is never too short.
      pieceByteCount = min(file.byteCount, 4 * pieceByteCount)
    }
  }

  /// Reads and validates the header of a file.
  ///
  /// Nil when the header goes on beyond the bytes and they are not the whole file.
  ///
  /// - Parameters:
  ///   - bytes: The beginning of the file.
  ///   - fileByteCount: The size of the file.
  ///   - path: The path for errors.
  /// - Throws: `FormatError` with the byte and the key or tensor.
  package init?(parsing bytes: RawSpan, fileByteCount: Int, path: String) throws(FormatError) {
    var reader = GGUFHeaderReader(path: path, fileByteCount: fileByteCount)
    let declarations: [GGUFHeaderReader.Declaration]
    do throws(FormatError) {
      let counts = try reader.readStart(bytes)
      version = counts.version
      metadata = try reader.readMetadata(bytes, count: counts.keys)
      alignment = try reader.alignment(metadata)
      declarations = try reader.readDeclarations(bytes, count: counts.tensors)
    } catch {
      if reader.wantsMore { return nil }
      throw error
    }
    var layout = try GGUFLayout(
      headerByteCount: reader.position, alignment: alignment, fileByteCount: fileByteCount, path: path)
    entries = try layout.place(declarations)
  }
}

extension GGUFHeader.Entry {
  /// The product of the dimensions.
  package var elementCount: Int { shape.reduce(1, *) }
  /// The number of values in a row.
  package var rowLength: Int { shape.last ?? 1 }
  /// The bytes of a row.
  package var rowByteCount: Int { rowLength / type.blockElementCount * type.blockByteCount }
}
