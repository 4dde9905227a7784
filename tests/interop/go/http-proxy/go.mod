module interop/http-proxy

go 1.19

require (
	github.com/getlantern/golog v0.0.0-20190830074920-4ef2e798c2d7
	github.com/getlantern/http-proxy v0.0.0-20190321015922-4801e21d5eca
	github.com/getlantern/http-proxy-lantern v0.1.3
	github.com/getlantern/proxy v0.0.0-20190225163220-31d1cc06ed3d
)

require (
	github.com/Yawning/chacha20 v0.0.0-20170904085104-e3b1f968fc63 // indirect
	github.com/felixge/httpsnoop v1.0.0 // indirect
	github.com/getlantern/byteexec v0.0.0-20170405023437-4cfb26ec74f4 // indirect
	github.com/getlantern/context v0.0.0-20190109183933-c447772a6520 // indirect
	github.com/getlantern/elevate v0.0.0-20180207094634-c2e2e4901072 // indirect
	github.com/getlantern/ema v0.0.0-20190620044903-5943d28f40e4 // indirect
	github.com/getlantern/errors v0.0.0-20190325191628-abdb3e3e36f7 // indirect
	github.com/getlantern/filepersist v0.0.0-20160317154340-c5f0cd24e799 // indirect
	github.com/getlantern/go-cache v0.0.0-20141028142048-88b53914f467 // indirect
	github.com/getlantern/hex v0.0.0-20190417191902-c6586a6fe0b7 // indirect
	github.com/getlantern/hidden v0.0.0-20190325191715-f02dbb02be55 // indirect
	github.com/getlantern/idletiming v0.0.0-20201229174729-33d04d220c4e // indirect
	github.com/getlantern/keyman v0.0.0-20180207174507-f55e7280e93a // indirect
	github.com/getlantern/lampshade v0.0.0-20200303040944-fe53f13203e9 // indirect
	github.com/getlantern/measured v0.0.0-20180919192309-c70b16bb4198 // indirect
	github.com/getlantern/mitm v0.0.0-20180205214248-4ce456bae650 // indirect
	github.com/getlantern/mtime v0.0.0-20200228202836-084e1d8282b0 // indirect
	github.com/getlantern/netx v0.0.0-20190110220209-9912de6f94fd // indirect
	github.com/getlantern/ops v0.0.0-20190325191751-d70cb0d6f85f // indirect
	github.com/getlantern/preconn v0.0.0-20180328114929-0b5766010efe // indirect
	github.com/getlantern/reconn v0.0.0-20161128113912-7053d017511c // indirect
	github.com/getlantern/tlsdefaults v0.0.0-20171004213447-cf35cfd0b1b4 // indirect
	github.com/go-stack/stack v1.8.0 // indirect
	github.com/golang/gddo v0.0.0-20190904175337-72a348e765d2 // indirect
	github.com/hashicorp/golang-lru v0.5.3 // indirect
	github.com/mitchellh/go-server-timing v0.0.0-20180226015900-d145200e1f90 // indirect
	github.com/oxtoacart/bpool v0.0.0-20190530202638-03653db5a59c // indirect
	golang.org/x/crypto v0.0.0-20191202143827-86a70503ff7e // indirect
	golang.org/x/sys v0.5.0 // indirect
)
