#pragma once

// Calls by section (tests/posix/calls.h says how they are written). All names are names of the mount's own: nothing
// here becomes an entry.
namespace hitfs::testing::sections {

inline constexpr const char* kOpen = R"(
  open A f r 0644
  open A f w,creat 0644
  fstat A
  open B f creat,excl,w 0644
  open B f rw 0
  pwrite B 0 content
  open C f w,trunc 0
  fstat B
  open C f directory 0
  open C f/g r 0
  open C f/g w,creat 0644
  open C missing/g w,creat 0644
  mkdir d 0755
  open C d r 0
  open C d w 0
  open C d rw 0
  open C d w,creat 0644
  open C d creat,excl,w 0644
  open C d directory 0
  open C d/. directory 0
  open C d/ r 0
  open C new/ w,creat 0644
  open C f/ r 0
  umask 027
  open C masked w,creat 0666
  stat masked
  umask 0
  open C naked w,creat 0777
  stat naked
  umask 022
  open C readonly w,creat 0400
  fstat C
  pwrite C 0 x
  bytes readonly
  open D f append,w 0
  write D one
  write D two
  bytes f
  open E f r 0
  pwrite E 0 x
  open E f w 0
  pread E 0 1
  close A
  close A
  names .
)";

inline constexpr const char* kOpenOfLinks = R"(
  symlink f s
  open A s r 0
  open A s creat,excl,w 0644
  open A s w,creat 0644
  pwrite A 0 through
  bytes f
  lstat s
  open A s r,nofollow 0
  symlink loop1 loop2
  symlink loop2 loop1
  open A loop1 r 0
  open A loop1/x r 0
  stat loop1
  lstat loop1
  mkdir d 0755
  symlink d sd
  open A sd/in w,creat 0644
  names d
  open A sd directory 0
  open A sd directory,nofollow 0
  symlink ../f d/up
  bytes d/up
  symlink missing/x dangling
  open A dangling w,creat 0644
  symlink . self
  bytes self/self/self/f
  unlink sd
  names .
)";

inline constexpr const char* kReadAndWrite = R"(
  open A f rw,creat 0644
  pread A 0 10
  pwrite A 0 hello
  pread A 0 10
  pread A 3 10
  pread A 5 10
  pread A 500 10
  pwrite A 10 far
  pread A 0 20
  fstat A
  pwrite A 2 LL
  bytes f
  fsync A
  fdatasync A
  open B f r 0
  pread B 0 20
  mmap A 13
  bytes f
  mmap B 13
  flock A
  flock B
  close A
  flock B
  pwrite B 0 x
  stat f
)";

inline constexpr const char* kTruncate = R"(
  open A f rw,creat 0644
  pwrite A 0 0123456789
  truncate f 5
  bytes f
  truncate f 8
  bytes f
  truncate f 0
  stat f
  truncate f -1
  ftruncate A 3
  pread A 0 10
  ftruncate A -1
  truncate f 100000
  stat f
  pread A 99990 20
  truncate missing 0
  mkdir d 0755
  truncate d 0
  truncate f/x 0
  symlink f s
  truncate s 4
  stat f
  symlink gone t
  truncate t 0
  open B f r 0
  ftruncate B 0
  open C f w,trunc 0
  fstat A
  unlink f
  ftruncate A 7
  pread A 0 10
)";

inline constexpr const char* kDirectories = R"(
  mkdir d 0755
  stat d
  mkdir d 0755
  mkdir d/e/f 0755
  mkdir missing/e 0755
  open A f w,creat 0644
  mkdir f 0755
  mkdir f/e 0755
  mkdir d/e 0700
  stat d/e
  rmdir d
  rmdir f
  rmdir missing
  rmdir missing/x
  rmdir f/x
  rmdir d/e/.
  rmdir d/e/..
  rmdir d/e
  rmdir d/e
  symlink d s
  rmdir s
  mkdir s 0755
  mkdir s/in 0755
  names d
  rmdir s/in/
  mkdir slash/ 0755
  names .
  umask 077
  mkdir private 0777
  stat private
  umask 022
  mkdir sticky 01777
  stat sticky
  rmdir d
  names d
  names f
  names .
  mkdir . 0755
  mkdir .. 0755
  mkdir @255 0755
  rmdir @255
)";

inline constexpr const char* kUnlink = R"(
  open A f rw,creat 0644
  pwrite A 0 kept
  unlink f
  unlink f
  stat f
  pread A 0 10
  pwrite A 4 +more
  pread A 0 20
  mmap A 9
  pread A 0 20
  fsync A
  open B f rw,creat,excl 0600
  pwrite B 0 another
  pread A 0 20
  bytes f
  mkdir d 0755
  unlink d
  unlink missing/f
  unlink f/g
  symlink d s
  unlink s
  stat d
  symlink gone t
  unlink t
  lstat t
  unlink f/
  unlink f
  names .
  fchmod A 0600
  close A
)";

// From each of file, directory, full directory and link, onto each of these and onto nothing.
inline constexpr const char* kRenameTypes = R"(
  open A f w,creat 0644
  open B g w,creat 0600
  pwrite A 0 from-f
  rename f g
  bytes g
  stat g
  stat f
  rename g h
  mkdir d 0755
  rename h d
  rename d h
  mkdir e 0700
  rename d e
  stat e
  mkdir full 0755
  open C full/in w,creat 0644
  rename e full
  rename full e
  names e
  rename h e
  rename e h
  symlink h s
  rename s e
  rename e s
  rename s t
  readlink t
  open D u w,creat 0644
  rename u t
  lstat t
  symlink h v
  rename v t
  readlink t
  rename h h
  rename e e
  symlink x w
  rename w t
  readlink t
  mkdir f1 0755
  mkdir f1/a 0755
  rename f1/a moved
  rename moved f1/b
  names f1
  names .
)";

inline constexpr const char* kRenameRefuses = R"(
  rename missing x
  rename missing/a x
  open A f w,creat 0644
  rename f missing/x
  rename f f/x
  rename f/x g
  mkdir d 0755
  mkdir d/e 0755
  rename d d/e/f
  rename d d/d
  rename d/e d
  rename d/. x
  rename d/.. x
  rename . x
  rename d d/.
  open B g w,creat 0644
  rename f g noreplace
  rename f new noreplace
  rename new new noreplace
  rename d/e d noreplace
  rename missing new noreplace
  symlink gone s
  rename new s noreplace
  rename new @256
  rename @256 new
  rename new/ x
  rename d/ x
  rename x/ y/
  rename new y
  mkdir z 0755
  open C z/in w,creat 0644
  rename y z
  rename y/e/q y
  names .
  names y
)";

inline constexpr const char* kRenameOpen = R"(
  open A f rw,creat 0644
  pwrite A 0 first
  open B g rw,creat 0644
  pwrite B 0 second
  rename f g
  pread A 0 10
  pread B 0 10
  pwrite A 5 +a
  pwrite B 6 +b
  bytes g
  pread B 0 20
  fstat A
  mkdir d 0755
  mkdir d/e 0755
  open C d/e/f rw,creat 0644
  rename d x
  pwrite C 0 inside
  bytes x/e/f
  bytes d/e/f
  rename x/e e
  bytes e/f
  names x
  ftruncate C 2
  bytes e/f
  utimens g 1000000000
  rename g h
  mtime h
  open D h r 0
  rename h e/h
  mtime e/h
)";

inline constexpr const char* kSymbolicLinks = R"(
  symlink target s
  readlink s
  lstat s
  stat s
  symlink target s
  open A f w,creat 0644
  symlink target f
  symlink x missing/s
  symlink x f/s
  readlink f
  readlink missing
  mkdir d 0755
  readlink d
  symlink-long 4095 long
  readlink long
  lstat long
  symlink-long 4096 longer
  symlink-long 1 one
  readlink one
  unlink s
  symlink other s
  readlink s
  utimens-link s 1000000000
  lmtime s
  chmod s 0600
  names .
)";

inline constexpr const char* kLongNames = R"(
  open A @255 w,creat 0644
  stat @255
  open A @256 w,creat 0644
  mkdir @256 0755
  symlink x @256
  unlink @256
  rmdir @256
  stat @256
  open A @deep w,creat 0644
  mkdir d 0755
  open A d/@255 w,creat 0644
  rename d/@255 d/x
  rename d/x d/@255
  unlink d/@255
  rename @255 d/@255
  names .
  truncate @256 0
  chmod @256 0600
  readlink @256
  rename f @256
  statfs .
)";

inline constexpr const char* kModes = R"(
  open A f w,creat 0644
  chmod f 0600
  stat f
  chmod f 0
  stat f
  chmod f 0777
  fchmod A 0111
  fstat A
  chmod missing 0644
  chmod f/x 0644
  mkdir d 0755
  chmod d 01777
  stat d
  chmod d 0500
  stat d
  symlink f s
  chmod s 0640
  stat f
  umask 0777
  mkdir m 0777
  stat m
  open B n w,creat 0777
  stat n
  umask 0
  mkdir m2 0777
  stat m2
)";

inline constexpr const char* kTimes = R"(
  open A f w,creat 0644
  recent f
  utimens f 1000000000
  mtime f
  pread A 0 1
  mtime f
  pwrite A 0 x
  recent f
  utimens f 1000000000
  ftruncate A 1
  recent f
  utimens f 1000000000
  truncate f 9
  recent f
  utimens f 1000000000
  chmod f 0600
  mtime f
  rename f g
  mtime g
  open B g w,trunc 0
  recent g
  mkdir d 0755
  utimens d 1000000000
  open C d/f w,creat 0644
  recent d
  utimens d 1000000000
  pwrite C 0 x
  chmod d/f 0600
  mtime d
  unlink d/f
  recent d
  utimens d 1000000000
  mkdir d/e 0755
  recent d
  utimens d 1000000000
  rmdir d/e
  recent d
  symlink x d/s
  utimens d 1000000000
  rename d/s d/t
  recent d
  utimens d 1000000000
  rename d/t u
  recent d
  utimens missing 5
  utimens d -1
  mtime d
)";

inline constexpr const char* kPermissionsOfOwner = R"(
  open A f rw,creat 0644
  pwrite A 0 mine
  open B none rw,creat 0
  open C none r 0
  pwrite B 0 x
  access none r
  chmod none 0400
  open C none w 0
  open C none r 0
  truncate none 0
  open C none r,trunc 0
  mkdir shut 0700
  open C shut/in w,creat 0644
  mkdir dark 0755
  open C dark/in w,creat 0644
  chmod dark 0600
  stat dark/in
  names dark
  mkdir blind 0755
  open C blind/in w,creat 0644
  chmod blind 0300
  stat blind/in
  names blind
  mkdir still 0755
  open C still/in w,creat 0644
  chmod still 0500
  open C still/new w,creat 0644
  mkdir still/d 0755
  symlink x still/s
  unlink still/in
  rename still/in x
  rename f still/in
  names still
  chown f 1 1
  chmod f 0640
  open C group rw,creat 0660
  open C public rw,creat 0666
  chmod public 0666
  mkdir open 0777
  chmod open 0777
  open C open/in w,creat 0644
  mkdir sticky 01777
  chmod sticky 01777
  open C sticky/in w,creat 0666
)";

inline constexpr const char* kPermissionsOfOthers = R"(
  open A f r 0
  open A f w 0
  open A none r 0
  open A group rw 0
  open A public rw 0
  pwrite A 0 yours
  bytes public
  chmod public 0600
  utimens public 5
  truncate public 3
  truncate f 3
  truncate none 3
  open A new w,creat 0644
  mkdir new 0755
  symlink x new
  unlink public
  rename public p
  stat shut
  stat shut/in
  names shut
  names dark
  stat dark/in
  names blind
  names still
  stat still/in
  access f r
  access public rw
  access public x
  access open rwx
  access shut x
  unlink open/in
  unlink sticky/in
  rename sticky/in sticky/x
  rename public open/p
  open A sticky/in r,trunc 0
  rmdir open
  chown f 23456 23456
  names .
)";

inline constexpr const char* kPermissionsEnd = R"(
  bytes public
  names open
  names sticky
  stat f
  chmod shut 0755
  names shut
)";

inline constexpr const char* kHardLinks = R"(
  open A f w,creat 0644
  link f g => EPERM
  stat g => ENOENT
  stat f => file 0644 size 0 nlink 1
  link missing g
  mkdir d 0755
  link d h
  link f d
  link f missing/g
  symlink f s
  link s g => EPERM
  names . => { . .. d f s }
)";

inline constexpr const char* kSpecialFiles = R"(
  mkfifo p => EPERM
  mksocket s => EPERM
  mkfifo missing/p
  open A f w,creat 0644
  mkfifo f
  mknod g 0640
  stat g
  mknod g 0640
  names . => { . .. f g }
)";

inline constexpr const char* kExchange = R"(
  open A f w,creat 0644
  open B g w,creat 0644
  pwrite A 0 f
  rename f g exchange => EINVAL
  bytes f => "f"
  rename f missing exchange
  mkdir d 0755
  rename f d exchange => EINVAL
  rename f x whiteout => EINVAL
  names . => { . .. d f g }
)";

inline constexpr const char* kExtendedAttributes = R"(
  open A f w,creat 0644
  setxattr f => EOPNOTSUPP
  getxattr f => EOPNOTSUPP
  setxattr missing
  mkdir d 0755
  setxattr d => EOPNOTSUPP
  names .
)";

inline constexpr const char* kOwners = R"(
  open A f w,creat 0644
  owner f
  chown f 12345 12345
  owner f => 0
  chown missing 1 1
  mkdir d 0755
  chown d 12345 12345
  owner d => 0
)";

inline constexpr const char* kSetuid = R"(
  open A f w,creat 0755
  chmod f 06755
  stat f => file 0755 size 0 nlink 1
  open B g w,creat 04755
  stat g => file 0755 size 0 nlink 1
  mkdir d 0755
  chmod d 03777
  stat d => directory 1777
  chmod f 01644
  stat f => file 0644 size 0 nlink 1
)";

inline constexpr const char* kStatusTime = R"(
  open A f w,creat 0644
  utimens f 1000000000
  mtime f
  chmod f 0600
  mtime f
  mkdir d 0755
  utimens d 1000000000
  ctime d => no
)";

inline constexpr const char* kPreallocation = R"(
  open A f rw,creat 0644
  fallocate A 0 10 => EOPNOTSUPP
  pwrite A 0 0123456789
  lseek A data 0 => 0
  lseek A hole 0 => 10
  lseek A data 100
  fstat A
)";

inline constexpr const char* kUnnamedFiles = R"(
  open A . tmpfile,rw 0600 => EOPNOTSUPP
  open A missing tmpfile,rw 0600
  mkdir d 0755
  open A d tmpfile,rw 0600 => EOPNOTSUPP
  names .
  names d
)";

inline constexpr const char* kLinkCounts = R"(
  mkdir d 0755
  links d => 1
  mkdir d/e 0755
  links d => 1
  open A f w,creat 0644
  links f
  unlink f
  ftruncate A 7
  fstat A => file 0644 size 7 nlink 1
)";

}  // namespace hitfs::testing::sections
