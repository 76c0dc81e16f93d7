"""Win32 error codes (``winerror.h``), network sockets' included: decimal code, name, wording.

Names and codes are those of the public headers; the wording is short and not always the system's.
"""

from __future__ import annotations

from typing import Final

TABLE: Final = """
0 ERROR_SUCCESS The operation completed successfully.
1 ERROR_INVALID_FUNCTION Incorrect function.
2 ERROR_FILE_NOT_FOUND The system cannot find the file specified.
3 ERROR_PATH_NOT_FOUND The system cannot find the path specified.
4 ERROR_TOO_MANY_OPEN_FILES The system cannot open the file.
5 ERROR_ACCESS_DENIED Access is denied.
6 ERROR_INVALID_HANDLE The handle is invalid.
7 ERROR_ARENA_TRASHED The storage control blocks were destroyed.
8 ERROR_NOT_ENOUGH_MEMORY Not enough memory resources are available to process this command.
9 ERROR_INVALID_BLOCK The storage control block address is invalid.
10 ERROR_BAD_ENVIRONMENT The environment is incorrect.
11 ERROR_BAD_FORMAT An attempt was made to load a program with an incorrect format.
12 ERROR_INVALID_ACCESS The access code is invalid.
13 ERROR_INVALID_DATA The data is invalid.
14 ERROR_OUTOFMEMORY Not enough storage is available to complete this operation.
15 ERROR_INVALID_DRIVE The system cannot find the drive specified.
16 ERROR_CURRENT_DIRECTORY The directory cannot be removed.
17 ERROR_NOT_SAME_DEVICE The system cannot move the file to a different disk drive.
18 ERROR_NO_MORE_FILES There are no more files.
19 ERROR_WRITE_PROTECT The media is write protected.
20 ERROR_BAD_UNIT The system cannot find the device specified.
21 ERROR_NOT_READY The device is not ready.
22 ERROR_BAD_COMMAND The device does not recognize the command.
23 ERROR_CRC Data error (cyclic redundancy check).
24 ERROR_BAD_LENGTH The program issued a command but the command length is incorrect.
25 ERROR_SEEK The drive cannot locate a specific area or track on the disk.
26 ERROR_NOT_DOS_DISK The specified disk or diskette cannot be accessed.
27 ERROR_SECTOR_NOT_FOUND The drive cannot find the sector requested.
28 ERROR_OUT_OF_PAPER The printer is out of paper.
29 ERROR_WRITE_FAULT The system cannot write to the specified device.
30 ERROR_READ_FAULT The system cannot read from the specified device.
31 ERROR_GEN_FAILURE A device attached to the system is not functioning.
32 ERROR_SHARING_VIOLATION The file is being used by another process.
33 ERROR_LOCK_VIOLATION Another process has locked a portion of the file.
34 ERROR_WRONG_DISK The wrong diskette is in the drive.
36 ERROR_SHARING_BUFFER_EXCEEDED Too many files opened for sharing.
38 ERROR_HANDLE_EOF Reached the end of the file.
39 ERROR_HANDLE_DISK_FULL The disk is full.
50 ERROR_NOT_SUPPORTED The request is not supported.
51 ERROR_REM_NOT_LIST Windows cannot find the network path.
52 ERROR_DUP_NAME A duplicate name exists on the network.
53 ERROR_BAD_NETPATH The network path was not found.
54 ERROR_NETWORK_BUSY The network is busy.
55 ERROR_DEV_NOT_EXIST The specified network resource or device is no longer available.
57 ERROR_ADAP_HDW_ERR A network adapter hardware error occurred.
58 ERROR_BAD_NET_RESP The specified server cannot perform the requested operation.
59 ERROR_UNEXP_NET_ERR An unexpected network error occurred.
64 ERROR_NETNAME_DELETED The specified network name is no longer available.
65 ERROR_NETWORK_ACCESS_DENIED Network access is denied.
66 ERROR_BAD_DEV_TYPE The network resource type is not correct.
67 ERROR_BAD_NET_NAME The network name cannot be found.
68 ERROR_TOO_MANY_NAMES The name limit for the local adapter was exceeded.
71 ERROR_REQ_NOT_ACCEP No more connections can be made to this remote computer now.
80 ERROR_FILE_EXISTS The file exists.
82 ERROR_CANNOT_MAKE The directory or file cannot be created.
86 ERROR_INVALID_PASSWORD The specified network password is not correct.
87 ERROR_INVALID_PARAMETER The parameter is incorrect.
89 ERROR_NO_PROC_SLOTS The system cannot start another process at this time.
100 ERROR_TOO_MANY_SEMAPHORES Cannot create another system semaphore.
108 ERROR_DRIVE_LOCKED The disk is in use or locked by another process.
109 ERROR_BROKEN_PIPE The pipe has been ended.
110 ERROR_OPEN_FAILED The system cannot open the device or file specified.
111 ERROR_BUFFER_OVERFLOW The file name is too long.
112 ERROR_DISK_FULL There is not enough space on the disk.
114 ERROR_INVALID_TARGET_HANDLE The target internal file identifier is incorrect.
117 ERROR_INVALID_CATEGORY The IOCTL call made by the application program is not correct.
119 ERROR_BAD_DRIVER_LEVEL The system does not support the command requested.
120 ERROR_CALL_NOT_IMPLEMENTED This function is not supported on this system.
121 ERROR_SEM_TIMEOUT The semaphore timeout period has expired.
122 ERROR_INSUFFICIENT_BUFFER The data area passed to a system call is too small.
123 ERROR_INVALID_NAME The filename, directory name, or volume label syntax is incorrect.
124 ERROR_INVALID_LEVEL The system call level is not correct.
126 ERROR_MOD_NOT_FOUND The specified module could not be found.
127 ERROR_PROC_NOT_FOUND The specified procedure could not be found.
128 ERROR_WAIT_NO_CHILDREN There are no child processes to wait for.
130 ERROR_DIRECT_ACCESS_HANDLE The handle is to an open disk partition.
131 ERROR_NEGATIVE_SEEK The file pointer was moved before the beginning of the file.
132 ERROR_SEEK_ON_DEVICE The file pointer cannot be set on the specified device or file.
142 ERROR_BUSY_DRIVE The system cannot perform the operation at this time.
143 ERROR_SAME_DRIVE Drive and target directory are the same.
145 ERROR_DIR_NOT_EMPTY The directory is not empty.
148 ERROR_PATH_BUSY The path specified cannot be used at this time.
154 ERROR_LABEL_TOO_LONG The volume label is too long.
155 ERROR_TOO_MANY_TCBS Cannot create another thread.
156 ERROR_SIGNAL_REFUSED The recipient process has refused the signal.
158 ERROR_NOT_LOCKED The segment is already unlocked.
160 ERROR_BAD_ARGUMENTS One or more arguments are not correct.
161 ERROR_BAD_PATHNAME The specified path is invalid.
164 ERROR_MAX_THRDS_REACHED No more threads can be created in the system.
167 ERROR_LOCK_FAILED Unable to lock a region of a file.
170 ERROR_BUSY The requested resource is in use.
182 ERROR_INVALID_ORDINAL The operating system cannot run the program: invalid ordinal.
183 ERROR_ALREADY_EXISTS Cannot create a file when that file already exists.
187 ERROR_SEM_NOT_FOUND The specified system semaphore name was not found.
191 ERROR_INVALID_EXE_SIGNATURE The operating system cannot run the program: no valid signature.
192 ERROR_EXE_MARKED_INVALID The operating system cannot run the program: marked invalid.
193 ERROR_BAD_EXE_FORMAT The file is not a valid Win32 application.
203 ERROR_ENVVAR_NOT_FOUND The system could not find the environment option that was entered.
205 ERROR_NO_SIGNAL_SENT No process in the command subtree has a signal handler.
206 ERROR_FILENAME_EXCED_RANGE The filename or extension is too long.
212 ERROR_LOCKED The segment is locked and cannot be reallocated.
215 ERROR_NESTING_NOT_ALLOWED Cannot nest calls to LoadModule.
216 ERROR_EXE_MACHINE_TYPE_MISMATCH The file's machine type is not compatible with this Windows.
220 ERROR_FILE_CHECKED_OUT The file is checked out or locked for editing by another user.
223 ERROR_FILE_TOO_LARGE The file size exceeds the limit allowed and cannot be saved.
225 ERROR_VIRUS_INFECTED The file contains a virus or potentially unwanted software.
226 ERROR_VIRUS_DELETED The file contained a virus and was deleted.
230 ERROR_BAD_PIPE The pipe state is invalid.
231 ERROR_PIPE_BUSY All pipe instances are busy.
232 ERROR_NO_DATA The pipe is being closed.
233 ERROR_PIPE_NOT_CONNECTED No process is on the other end of the pipe.
234 ERROR_MORE_DATA More data is available.
240 ERROR_VC_DISCONNECTED The session was canceled.
254 ERROR_INVALID_EA_NAME The specified extended attribute name was invalid.
255 ERROR_EA_LIST_INCONSISTENT The extended attributes are inconsistent.
258 WAIT_TIMEOUT The wait operation timed out.
259 ERROR_NO_MORE_ITEMS No more data is available.
266 ERROR_CANNOT_COPY The copy functions cannot be used.
267 ERROR_DIRECTORY The directory name is invalid.
275 ERROR_EAS_DIDNT_FIT The extended attributes did not fit in the buffer.
276 ERROR_EA_FILE_CORRUPT The extended attribute file on the mounted file system is corrupt.
282 ERROR_EAS_NOT_SUPPORTED The mounted file system does not support extended attributes.
288 ERROR_NOT_OWNER Attempt to release mutex not owned by caller.
298 ERROR_TOO_MANY_POSTS Too many posts were made to a semaphore.
299 ERROR_PARTIAL_COPY Only part of a read or write request was completed.
300 ERROR_OPLOCK_NOT_GRANTED The oplock request is denied.
303 ERROR_DELETE_PENDING The file cannot be opened because it is being deleted.
317 ERROR_MR_MID_NOT_FOUND The message text for this message number was not found.
318 ERROR_SCOPE_NOT_FOUND The scope specified was not found.
350 ERROR_FAIL_NOACTION_REBOOT No action was taken as a system reboot is required.
487 ERROR_INVALID_ADDRESS Attempt to access invalid address.
500 ERROR_USER_PROFILE_LOAD User profile cannot be loaded.
534 ERROR_ARITHMETIC_OVERFLOW Arithmetic result exceeded 32 bits.
535 ERROR_PIPE_CONNECTED There is a process on the other end of the pipe.
536 ERROR_PIPE_LISTENING Waiting for a process to open the other end of the pipe.
574 ERROR_UNHANDLED_EXCEPTION An unhandled exception occurred in the application.
575 ERROR_APP_INIT_FAILURE The application was unable to start correctly.
577 ERROR_INVALID_IMAGE_HASH Windows cannot verify the digital signature for this file.
665 ERROR_FILE_SYSTEM_LIMITATION The operation could not be completed: file system limitation.
994 ERROR_EA_ACCESS_DENIED Access to the extended attribute was denied.
995 ERROR_OPERATION_ABORTED The I/O operation was aborted: thread exit or application request.
996 ERROR_IO_INCOMPLETE Overlapped I/O event is not in a signaled state.
997 ERROR_IO_PENDING Overlapped I/O operation is in progress.
998 ERROR_NOACCESS Invalid access to memory location.
999 ERROR_SWAPERROR Error performing inpage operation.
1001 ERROR_STACK_OVERFLOW Recursion too deep; the stack overflowed.
1002 ERROR_INVALID_MESSAGE The window cannot act on the sent message.
1003 ERROR_CAN_NOT_COMPLETE Cannot complete this function.
1004 ERROR_INVALID_FLAGS Invalid flags.
1005 ERROR_UNRECOGNIZED_VOLUME The volume does not contain a recognized file system.
1006 ERROR_FILE_INVALID The volume of the opened file was altered from outside.
1007 ERROR_FULLSCREEN_MODE The requested operation cannot be performed in full-screen mode.
1008 ERROR_NO_TOKEN An attempt was made to reference a token that does not exist.
1009 ERROR_BADDB The configuration registry database is corrupt.
1010 ERROR_BADKEY The configuration registry key is invalid.
1011 ERROR_CANTOPEN The configuration registry key could not be opened.
1012 ERROR_CANTREAD The configuration registry key could not be read.
1013 ERROR_CANTWRITE The configuration registry key could not be written.
1016 ERROR_REGISTRY_IO_FAILED An I/O operation initiated by the registry failed.
1017 ERROR_NOT_REGISTRY_FILE The file is not a registry file.
1018 ERROR_KEY_DELETED Illegal operation on a registry key marked for deletion.
1021 ERROR_CHILD_MUST_BE_VOLATILE A stable subkey cannot be made under a volatile parent key.
1051 ERROR_DEPENDENT_SERVICES_RUNNING Other running services depend on this one.
1052 ERROR_INVALID_SERVICE_CONTROL The requested control is not valid for this service.
1053 ERROR_SERVICE_REQUEST_TIMEOUT The service did not respond to the request in time.
1054 ERROR_SERVICE_NO_THREAD A thread could not be created for the service.
1055 ERROR_SERVICE_DATABASE_LOCKED The service database is locked.
1056 ERROR_SERVICE_ALREADY_RUNNING An instance of the service is already running.
1057 ERROR_INVALID_SERVICE_ACCOUNT The account name is invalid or does not exist.
1058 ERROR_SERVICE_DISABLED The service is disabled and cannot be started.
1060 ERROR_SERVICE_DOES_NOT_EXIST The specified service does not exist as an installed service.
1061 ERROR_SERVICE_CANNOT_ACCEPT_CTRL The service cannot accept control messages at this time.
1062 ERROR_SERVICE_NOT_ACTIVE The service has not been started.
1063 ERROR_FAILED_SERVICE_CONTROLLER_CONNECT The process could not connect to the controller.
1064 ERROR_EXCEPTION_IN_SERVICE An exception occurred in the service.
1066 ERROR_SERVICE_SPECIFIC_ERROR The service has returned a service-specific error code.
1067 ERROR_PROCESS_ABORTED The process terminated unexpectedly.
1068 ERROR_SERVICE_DEPENDENCY_FAIL The dependency service or group failed to start.
1069 ERROR_SERVICE_LOGON_FAILED The service did not start due to a logon failure.
1072 ERROR_SERVICE_MARKED_FOR_DELETE The specified service has been marked for deletion.
1073 ERROR_SERVICE_EXISTS The specified service already exists.
1083 ERROR_SERVICE_NOT_IN_EXE The executable does not implement the service.
1114 ERROR_DLL_INIT_FAILED A DLL initialization routine failed.
1115 ERROR_SHUTDOWN_IN_PROGRESS A system shutdown is in progress.
1117 ERROR_IO_DEVICE The request could not be performed because of an I/O device error.
1130 ERROR_NOT_ENOUGH_SERVER_MEMORY Not enough server memory to process this command.
1131 ERROR_POSSIBLE_DEADLOCK A potential deadlock condition has been detected.
1132 ERROR_MAPPED_ALIGNMENT The base address or file offset is not properly aligned.
1142 ERROR_TOO_MANY_LINKS Too many links were made to a file.
1150 ERROR_OLD_WIN_VERSION The program requires a newer version of Windows.
1155 ERROR_NO_ASSOCIATION No application is associated with the specified file.
1157 ERROR_DLL_NOT_FOUND One of the library files needed to run this application is missing.
1158 ERROR_NO_MORE_USER_HANDLES The process has used all of its handles for window objects.
1167 ERROR_DEVICE_NOT_CONNECTED The device is not connected.
1168 ERROR_NOT_FOUND Element not found.
1169 ERROR_NO_MATCH There was no match for the specified key in the index.
1200 ERROR_BAD_DEVICE The specified device name is invalid.
1203 ERROR_NO_NET_OR_BAD_PATH The network path was not typed correctly or does not exist.
1219 ERROR_SESSION_CREDENTIAL_CONFLICT Connections with more than one user name are not allowed.
1222 ERROR_NO_NETWORK The network is not present or not started.
1223 ERROR_CANCELLED The operation was canceled by the user.
1225 ERROR_CONNECTION_REFUSED The remote computer refused the network connection.
1226 ERROR_GRACEFUL_DISCONNECT The network connection was gracefully closed.
1229 ERROR_CONNECTION_INVALID An operation was tried on a nonexistent network connection.
1231 ERROR_NETWORK_UNREACHABLE The network location cannot be reached.
1232 ERROR_HOST_UNREACHABLE The remote host cannot be reached.
1234 ERROR_PORT_UNREACHABLE No service operates at that port of the remote system.
1235 ERROR_REQUEST_ABORTED The request was aborted.
1236 ERROR_CONNECTION_ABORTED The network connection was aborted by the local system.
1237 ERROR_RETRY The operation could not be completed. A retry should be performed.
1244 ERROR_NOT_AUTHENTICATED The user has not been authenticated for this operation.
1245 ERROR_NOT_LOGGED_ON The user has not logged on to the network.
1300 ERROR_NOT_ALL_ASSIGNED Not all privileges or groups are assigned to the caller.
1305 ERROR_UNKNOWN_REVISION The revision level is unknown.
1307 ERROR_INVALID_OWNER This security ID may not be assigned as the owner of this object.
1309 ERROR_NO_IMPERSONATION_TOKEN The thread does not impersonate a client.
1311 ERROR_NO_LOGON_SERVERS No logon server is available.
1312 ERROR_NO_SUCH_LOGON_SESSION A specified logon session does not exist.
1313 ERROR_NO_SUCH_PRIVILEGE A specified privilege does not exist.
1314 ERROR_PRIVILEGE_NOT_HELD A required privilege is not held by the client.
1315 ERROR_INVALID_ACCOUNT_NAME The name provided is not a properly formed account name.
1317 ERROR_NO_SUCH_USER The specified account does not exist.
1323 ERROR_WRONG_PASSWORD The value provided as the current password is incorrect.
1326 ERROR_LOGON_FAILURE The user name or password is incorrect.
1327 ERROR_ACCOUNT_RESTRICTION Account restrictions prevent this user from signing in.
1330 ERROR_PASSWORD_EXPIRED The password for this account has expired.
1331 ERROR_ACCOUNT_DISABLED This account is currently disabled.
1332 ERROR_NONE_MAPPED No mapping between account names and security IDs was done.
1336 ERROR_INVALID_ACL The access control list (ACL) structure is invalid.
1337 ERROR_INVALID_SID The security ID structure is invalid.
1338 ERROR_INVALID_SECURITY_DESCR The security descriptor structure is invalid.
1346 ERROR_BAD_IMPERSONATION_LEVEL An impersonation level is missing or invalid.
1349 ERROR_BAD_TOKEN_TYPE The type of the token is inappropriate for its attempted use.
1352 ERROR_INVALID_SERVER_STATE The server is in the wrong state for the operation.
1359 ERROR_INTERNAL_ERROR An internal error occurred.
1385 ERROR_LOGON_TYPE_NOT_GRANTED The user has not been granted the requested logon type.
1392 ERROR_FILE_CORRUPT The file or directory is corrupted and unreadable.
1393 ERROR_DISK_CORRUPT The disk structure is corrupted and unreadable.
1400 ERROR_INVALID_WINDOW_HANDLE Invalid window handle.
1401 ERROR_INVALID_MENU_HANDLE Invalid menu handle.
1402 ERROR_INVALID_CURSOR_HANDLE Invalid cursor handle.
1404 ERROR_INVALID_HOOK_HANDLE Invalid hook handle.
1407 ERROR_CANNOT_FIND_WND_CLASS Cannot find window class.
1408 ERROR_WINDOW_OF_OTHER_THREAD Invalid window; it belongs to another thread.
1410 ERROR_CLASS_ALREADY_EXISTS Class already exists.
1411 ERROR_CLASS_DOES_NOT_EXIST Class does not exist.
1413 ERROR_INVALID_INDEX Invalid index.
1416 ERROR_LISTBOX_ID_NOT_FOUND The list box identifier was not found.
1421 ERROR_CONTROL_ID_NOT_FOUND Control ID not found.
1444 ERROR_INVALID_THREAD_ID Invalid thread identifier.
1450 ERROR_NO_SYSTEM_RESOURCES Insufficient system resources exist.
1451 ERROR_NONPAGED_SYSTEM_RESOURCES Insufficient nonpaged system resources exist.
1452 ERROR_PAGED_SYSTEM_RESOURCES Insufficient paged system resources exist.
1453 ERROR_WORKING_SET_QUOTA Insufficient quota for the working set.
1454 ERROR_PAGEFILE_QUOTA Insufficient quota for the page file.
1455 ERROR_COMMITMENT_LIMIT The paging file is too small for this operation to complete.
1460 ERROR_TIMEOUT The timeout period expired.
1464 ERROR_SYMLINK_NOT_SUPPORTED A symbolic link cannot be followed here.
1603 ERROR_INSTALL_FAILURE Fatal error during installation.
1605 ERROR_UNKNOWN_PRODUCT This action is only valid for products that are installed.
1618 ERROR_INSTALL_ALREADY_RUNNING Another installation is already in progress.
1619 ERROR_INSTALL_PACKAGE_OPEN_FAILED This installation package could not be opened.
1625 ERROR_INSTALL_PACKAGE_REJECTED This installation is forbidden by system policy.
1638 ERROR_PRODUCT_VERSION Another version of this product is already installed.
1702 RPC_S_INVALID_BINDING The binding handle is invalid.
1703 RPC_S_PROTSEQ_NOT_SUPPORTED The RPC protocol sequence is not supported.
1707 RPC_S_INVALID_NET_ADDR The network address is invalid.
1715 RPC_S_NOT_LISTENING The RPC server is not listening.
1717 RPC_S_UNKNOWN_IF The interface is unknown.
1722 RPC_S_SERVER_UNAVAILABLE The RPC server is unavailable.
1723 RPC_S_SERVER_TOO_BUSY The RPC server is too busy to complete this operation.
1726 RPC_S_CALL_FAILED The remote procedure call failed.
1727 RPC_S_CALL_FAILED_DNE The remote procedure call failed and did not execute.
1728 RPC_S_PROTOCOL_ERROR A remote procedure call (RPC) protocol error occurred.
1734 RPC_S_INVALID_BOUND The array bounds are invalid.
1745 RPC_S_PROCNUM_OUT_OF_RANGE The procedure number is out of range.
1753 EPT_S_NOT_REGISTERED There are no more endpoints available from the endpoint mapper.
1764 RPC_S_CANNOT_SUPPORT The requested operation is not supported.
1766 RPC_S_INTERNAL_ERROR A remote procedure call (RPC) internal error occurred.
1775 RPC_X_SS_IN_NULL_CONTEXT A null context handle was passed to an RPC server.
1780 RPC_X_NULL_REF_POINTER A null reference pointer was passed to the stub.
1783 RPC_X_BAD_STUB_DATA The stub received bad data.
1784 ERROR_INVALID_USER_BUFFER The supplied user buffer is not valid for the operation.
1785 ERROR_UNRECOGNIZED_MEDIA The disk media is not recognized. It may not be formatted.
1789 ERROR_TRUSTED_RELATIONSHIP_FAILURE The trust with the primary domain failed.
1792 ERROR_NETLOGON_NOT_STARTED The network logon service was not started.
1813 ERROR_RESOURCE_TYPE_NOT_FOUND The specified resource type cannot be found in the image file.
1814 ERROR_RESOURCE_NAME_NOT_FOUND The specified resource name cannot be found in the image file.
1816 ERROR_NOT_ENOUGH_QUOTA Not enough quota is available to process this command.
1818 RPC_S_CALL_CANCELLED The remote procedure call was cancelled.
1825 RPC_S_SEC_PKG_ERROR A security package specific error occurred.
1907 ERROR_PASSWORD_MUST_CHANGE The user's password must be changed before signing in.
1909 ERROR_ACCOUNT_LOCKED_OUT The account is locked out.
1920 ERROR_CANT_ACCESS_FILE The file cannot be accessed by the system.
2000 ERROR_INVALID_PIXEL_FORMAT The pixel format is invalid.
2001 ERROR_BAD_DRIVER The specified driver is invalid.
2202 ERROR_BAD_USERNAME The specified username is invalid.
2250 ERROR_NOT_CONNECTED This network connection does not exist.
2401 ERROR_OPEN_FILES This network connection has files open or requests pending.
2404 ERROR_DEVICE_IN_USE The device is in use by an active process.
4313 ERROR_DATABASE_FAILURE The database could not be read or written.
4390 ERROR_NOT_A_REPARSE_POINT The file or directory is not a reparse point.
4392 ERROR_INVALID_REPARSE_DATA The data present in the reparse point buffer is invalid.
5023 ERROR_INVALID_STATE The group or resource is not in the correct state.
8344 ERROR_DS_INSUFF_ACCESS_RIGHTS Insufficient access rights to perform the operation.
8456 ERROR_DS_DRA_SOURCE_DISABLED The source server is currently rejecting replication requests.
10004 WSAEINTR A blocking operation was interrupted.
10009 WSAEBADF The file handle supplied is not valid.
10013 WSAEACCES An attempt was made to access a socket in a way forbidden by its permissions.
10014 WSAEFAULT An invalid pointer was passed to a call.
10022 WSAEINVAL An invalid argument was supplied.
10024 WSAEMFILE Too many open sockets.
10035 WSAEWOULDBLOCK A non-blocking socket operation could not be completed immediately.
10036 WSAEINPROGRESS A blocking operation is currently executing.
10037 WSAEALREADY The socket already has an operation in progress.
10038 WSAENOTSOCK An operation was attempted on something that is not a socket.
10039 WSAEDESTADDRREQ A required address was omitted from an operation on a socket.
10040 WSAEMSGSIZE A message was larger than the internal message buffer.
10041 WSAEPROTOTYPE The protocol does not support the semantics of the socket type.
10042 WSAENOPROTOOPT The protocol option is unknown, invalid or unsupported.
10043 WSAEPROTONOSUPPORT The requested protocol has not been configured into the system.
10044 WSAESOCKTNOSUPPORT The socket type is not supported in this address family.
10045 WSAEOPNOTSUPP The attempted operation is not supported for this type of object.
10047 WSAEAFNOSUPPORT The address family is not supported by the protocol.
10048 WSAEADDRINUSE Each socket address can normally be used only once.
10049 WSAEADDRNOTAVAIL The requested address is not valid in its context.
10050 WSAENETDOWN A socket operation encountered a dead network.
10051 WSAENETUNREACH A socket operation was attempted to an unreachable network.
10052 WSAENETRESET The connection was broken due to keep-alive activity detecting a failure.
10053 WSAECONNABORTED An established connection was aborted by the software in the host.
10054 WSAECONNRESET An existing connection was forcibly closed by the remote host.
10055 WSAENOBUFS The system lacked buffer space for a socket, or a queue was full.
10056 WSAEISCONN A connect request was made on an already connected socket.
10057 WSAENOTCONN The socket is not connected.
10058 WSAESHUTDOWN The socket was already shut down in that direction.
10060 WSAETIMEDOUT The connected party did not respond in time.
10061 WSAECONNREFUSED The target machine actively refused the connection.
10063 WSAENAMETOOLONG A name was too long.
10064 WSAEHOSTDOWN The destination host was down.
10065 WSAEHOSTUNREACH A socket operation was attempted to an unreachable host.
10067 WSAEPROCLIM The limit of tasks that use sockets at a time was reached.
10091 WSASYSNOTREADY The underlying network system is not available.
10092 WSAVERNOTSUPPORTED The requested version of Windows Sockets is not supported.
10093 WSANOTINITIALISED WSAStartup was not called, or it failed.
10101 WSAEDISCON The remote party has initiated a graceful shutdown.
11001 WSAHOST_NOT_FOUND No such host is known.
11002 WSATRY_AGAIN The server has not answered the name query; it may be tried again.
11003 WSANO_RECOVERY A non-recoverable error occurred during a database lookup.
11004 WSANO_DATA The name is valid, but has no data of the requested type.
12002 ERROR_INTERNET_TIMEOUT The internet operation timed out.
12007 ERROR_INTERNET_NAME_NOT_RESOLVED The server name or address could not be resolved.
12029 ERROR_INTERNET_CANNOT_CONNECT A connection with the server could not be established.
12030 ERROR_INTERNET_CONNECTION_ABORTED The connection with the server ended abnormally.
14001 ERROR_SXS_CANT_GEN_ACTCTX The application's side-by-side configuration is incorrect.
14007 ERROR_SXS_KEY_NOT_FOUND The key was not found in any active activation context.
15100 ERROR_MUI_FILE_NOT_FOUND The resource loader failed to find the MUI file.
15105 ERROR_MUI_FILE_NOT_LOADED The resource loader cache does not have the MUI entry.
"""
