import TestSupport

/// The bytes of a safetensors file: a header as it is given, then data.
func safetensors(_ header: String, _ data: [UInt8] = []) -> [UInt8] {
  safetensors(headerBytes: Array(header.utf8), data)
}

/// The bytes of a safetensors file whose header need not be text.
func safetensors(headerBytes: [UInt8], _ data: [UInt8] = []) -> [UInt8] {
  UInt64(headerBytes.count).littleEndianBytes + headerBytes + data
}

/// A header entry.
func entry(_ name: String, _ dtype: String, _ shape: [Int], _ begin: Int, _ end: Int) -> String {
  #""\#(name)":{"dtype":"\#(dtype)","shape":\#(shape),"data_offsets":[\#(begin),\#(end)]}"#
}
