#pragma once

#include "store/codecs/codec.h"
#include "store/store_reader.h"

namespace hitfs {

// The contents of a committed tree, from the store's blobs. As thread-safe as the reader.
class StoredContents : public ContentSource {
 public:
  // `reader` must outlive this and every source it gives.
  explicit StoredContents(StoreReader& reader) : reader_(reader) {}
  Result<std::unique_ptr<ByteSource>> open(const Content& content) override;

 private:
  StoreReader& reader_;
};

}  // namespace hitfs
