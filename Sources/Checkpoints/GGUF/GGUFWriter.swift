import Kernels

/// Writes a checkpoint as a GGUF file that llama.cpp loads, `Formats/gguf.md`.
///
/// Takes the tensors of a `GGUFExport`; those of a packed module are kept until the module is complete. A stack
/// of experts is written expert by expert.
package final class GGUFWriter: CheckpointWriter {
  private let export: GGUFExport
  private let layout: GGUFWriterLayout
  private let file: OutputFile
  private var tensorsWritten = 0
  /// The parts of the next tensor that are written.
  private var partsWritten = 0
  private var sourcesWritten = 0
  private var pending: [TensorBytes] = []

  /// Begins a file with everything before the tensors.
  ///
  /// - Parameters:
  ///   - export: What will be written.
  ///   - path: A file that nobody else reads; it is emptied.
  /// - Throws: `FormatError` when it cannot be written.
  package init(_ export: GGUFExport, path: String) throws {
    self.export = export
    layout = GGUFWriterLayout(export.members, export.entries)
    var file = try OutputFile(creating: path)
    try file.append(layout.headerBytes)
    self.file = file
    for (tensor, offset) in zip(export.rotaryTensors, layout.offsets.dropFirst(export.tensors.count)) {
      try write(narrowed(tensor.values, to: .f32), at: offset)
    }
  }

  /// Writes the next tensor of the checkpoint.
  package func write(_ tensor: TensorInfo, _ bytes: RawSpan) throws {
    let announced = export.contents.tensors
    precondition(
      sourcesWritten < announced.count && announced[sourcesWritten] == tensor,
      "tensor '\(tensor.name)' is not the one announced at \(sourcesWritten)")
    precondition(
      bytes.byteCount == tensor.byteCount, "\(bytes.byteCount) bytes for a tensor of \(tensor.byteCount)")
    sourcesWritten += 1
    pending.append(TensorBytes(bytes.copiedBytes()))
    let target = export.tensors[tensorsWritten]
    guard pending.count == target.parts[partsWritten].sources.count else { return }
    let encoded = export.encodings[tensorsWritten].encoded(
      target.rows(ofPart: partsWritten, pending), order: target.order)
    pending = []
    try write(encoded, at: layout.offsets[tensorsWritten] + partsWritten * encoded.count)
    partsWritten += 1
    guard partsWritten == target.parts.count else { return }
    partsWritten = 0
    tensorsWritten += 1
  }

  /// A GGUF file has no assets: configuration and tokenizer are in its metadata.
  package func write(_ asset: Asset, _ bytes: RawSpan) throws {
    preconditionFailure("asset '\(asset.name)' was not announced")
  }

  /// Pads and syncs the file.
  ///
  /// - Returns: The size of the file.
  package func finish() throws -> Int {
    precondition(
      tensorsWritten == export.tensors.count,
      "finished after \(tensorsWritten) of \(export.tensors.count) tensors")
    let padding = layout.fileByteCount - layout.dataEnd
    try write([UInt8](repeating: 0, count: padding), at: layout.dataEnd)
    try file.sync()
    return layout.fileByteCount
  }

  private func write(_ bytes: [UInt8], at offset: Int) throws {
    try file.write(unsafe bytes.span.bytes, at: offset)
  }
}

extension GGUFExport {
  /// The tensors of the file, in its order.
  package var entries: [GGUFWriterLayout.Entry] {
    var entries = zip(tensors, encodings).map { tensor, encoding in
      GGUFWriterLayout.Entry(
        name: tensor.name, shape: tensor.fileShape, type: encoding.type,
        byteCount: encoding.rowByteCount(columnCount: tensor.elementCount))
    }
    for (name, values) in rotaryTensors {
      entries.append(
        GGUFWriterLayout.Entry(name: name, shape: [values.count], type: .f32, byteCount: 4 * values.count))
    }
    return entries
  }
}
