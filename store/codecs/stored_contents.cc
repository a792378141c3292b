#include "store/codecs/stored_contents.h"

namespace hitfs {

namespace {

class BlobSource : public ByteSource {
 public:
  BlobSource(StoreReader& reader, const Digest& blob) : reader_(reader), blob_(blob) {}

  Result<size_t> read(std::span<std::byte> into) override {
    if (offset_ == blob_.size) return size_t{0};
    auto got = reader_.read(blob_, into, offset_);
    if (!got) return got;
    if (*got == 0) return Error{Code::corrupt, "blob " + blob_.text() + " is cut"};
    offset_ += *got;
    return got;
  }

  [[nodiscard]] std::optional<uint64_t> size() const override { return blob_.size; }

 private:
  StoreReader& reader_;
  Digest blob_;
  uint64_t offset_ = 0;
};

}  // namespace

Result<std::unique_ptr<ByteSource>> StoredContents::open(const Content& content) {
  const auto* digest = std::get_if<Digest>(&content);
  if (!digest) return Error{Code::internal, "a draft has no blobs yet"};
  return std::unique_ptr<ByteSource>(std::make_unique<BlobSource>(reader_, *digest));
}

}  // namespace hitfs
