"""NTSTATUS values (``ntstatus.h``) and COM's HRESULTs (``winerror.h``): hex code, name, wording.

Names and codes are those of the public headers; the wording is short and not always the system's.
"""

from __future__ import annotations

from typing import Final

NTSTATUS: Final = """
00000000 STATUS_SUCCESS The operation completed successfully.
00000001 STATUS_WAIT_1 The wait was satisfied by object 1.
00000080 STATUS_ABANDONED_WAIT_0 The wait was satisfied by an abandoned mutex.
000000C0 STATUS_USER_APC A user-mode APC was delivered before the interval expired.
00000101 STATUS_ALERTED The wait ended because the thread was alerted.
00000102 STATUS_TIMEOUT The given timeout expired.
00000103 STATUS_PENDING The operation that was requested is pending completion.
00000104 STATUS_REPARSE The file name leads through a reparse point.
00000105 STATUS_MORE_ENTRIES More entries are available.
00000106 STATUS_NOT_ALL_ASSIGNED Not all privileges are assigned to the caller.
00010001 DBG_EXCEPTION_HANDLED Debugger handled the exception.
00010002 DBG_CONTINUE The debugger continued.
40000000 STATUS_OBJECT_NAME_EXISTS The object name already exists.
40000003 STATUS_IMAGE_NOT_AT_BASE An image was not loaded at its preferred address.
40000005 STATUS_SEGMENT_NOTIFICATION A program segment was loaded, unloaded or moved.
40000015 STATUS_FATAL_APP_EXIT The application exited because of a fatal error.
4000001E STATUS_WX86_SINGLE_STEP A single step occurred in 32-bit code.
4000001F STATUS_WX86_BREAKPOINT A breakpoint was reached in 32-bit code.
40010001 DBG_REPLY_LATER The debugger will reply later.
40010003 DBG_TERMINATE_THREAD The debugger terminated the thread.
40010004 DBG_TERMINATE_PROCESS The debugger terminated the process.
40010005 DBG_CONTROL_C The debugger got a Control-C.
40010006 DBG_PRINTEXCEPTION_C The program printed a string for the debugger.
40010007 DBG_RIPEXCEPTION The program raised a RIP exception for the debugger.
40010008 DBG_CONTROL_BREAK The debugger got a Control-Break.
40010009 DBG_COMMAND_EXCEPTION The program sent a command to the debugger.
406D1388 MSVC_SET_THREAD_NAME The exception that names a thread for the debugger.
80000001 STATUS_GUARD_PAGE_VIOLATION A page of memory that marks the end of data was accessed.
80000002 STATUS_DATATYPE_MISALIGNMENT A datatype misalignment was detected.
80000003 STATUS_BREAKPOINT A breakpoint was reached.
80000004 STATUS_SINGLE_STEP A single step or trace operation has just been completed.
80000005 STATUS_BUFFER_OVERFLOW The data was too large to fit into the specified buffer.
80000006 STATUS_NO_MORE_FILES No more files match the file specification.
8000000D STATUS_PARTIAL_COPY Not all bytes could be copied.
80000011 STATUS_DEVICE_BUSY The device is currently busy.
8000001A STATUS_NO_MORE_ENTRIES No more entries are available.
80010001 DBG_EXCEPTION_NOT_HANDLED Debugger did not handle the exception.
C0000001 STATUS_UNSUCCESSFUL The requested operation was unsuccessful.
C0000002 STATUS_NOT_IMPLEMENTED The requested operation is not implemented.
C0000003 STATUS_INVALID_INFO_CLASS The information class is not valid for the object.
C0000004 STATUS_INFO_LENGTH_MISMATCH The length does not match that of the information.
C0000005 STATUS_ACCESS_VIOLATION The instruction referenced memory that cannot be so accessed.
C0000006 STATUS_IN_PAGE_ERROR The data at that address could not be brought into memory.
C0000007 STATUS_PAGEFILE_QUOTA The page file quota of the process is used up.
C0000008 STATUS_INVALID_HANDLE An invalid handle was specified.
C0000009 STATUS_BAD_INITIAL_STACK An invalid initial stack was specified.
C000000A STATUS_BAD_INITIAL_PC An invalid initial start address was specified.
C000000B STATUS_INVALID_CID An invalid client id was specified.
C000000D STATUS_INVALID_PARAMETER An invalid parameter was passed to a service or function.
C000000E STATUS_NO_SUCH_DEVICE A device which does not exist was specified.
C000000F STATUS_NO_SUCH_FILE The file does not exist.
C0000010 STATUS_INVALID_DEVICE_REQUEST The request is not a valid operation for the device.
C0000011 STATUS_END_OF_FILE The end-of-file marker has been reached.
C0000013 STATUS_NO_MEDIA_IN_DEVICE There is no media in the device.
C0000015 STATUS_NONEXISTENT_SECTOR The drive cannot find the sector.
C0000016 STATUS_MORE_PROCESSING_REQUIRED The request needs more processing.
C0000017 STATUS_NO_MEMORY Not enough virtual memory or paging file quota is available.
C0000018 STATUS_CONFLICTING_ADDRESSES The address range conflicts with the address space.
C0000019 STATUS_NOT_MAPPED_VIEW The address range to unmap is not a mapped view.
C000001A STATUS_UNABLE_TO_FREE_VM The virtual memory cannot be freed.
C000001B STATUS_UNABLE_TO_DELETE_SECTION The section cannot be deleted.
C000001C STATUS_INVALID_SYSTEM_SERVICE An invalid system service was specified in a system call.
C000001D STATUS_ILLEGAL_INSTRUCTION An attempt was made to execute an illegal instruction.
C000001E STATUS_INVALID_LOCK_SEQUENCE An attempt was made to execute an invalid lock sequence.
C000001F STATUS_INVALID_VIEW_SIZE The size of a view exceeds that of its section.
C0000020 STATUS_INVALID_FILE_FOR_SECTION The attributes of the file do not allow a section.
C0000022 STATUS_ACCESS_DENIED A process has requested access that it was not granted.
C0000023 STATUS_BUFFER_TOO_SMALL The buffer is too small to contain the entry.
C0000024 STATUS_OBJECT_TYPE_MISMATCH The object is of another type than the operation needs.
C0000025 STATUS_NONCONTINUABLE_EXCEPTION Execution cannot continue from this exception.
C0000026 STATUS_INVALID_DISPOSITION An exception handler returned an invalid disposition.
C0000027 STATUS_UNWIND Unwind exception code.
C0000028 STATUS_BAD_STACK An invalid or unaligned stack was met while unwinding.
C0000029 STATUS_INVALID_UNWIND_TARGET An invalid unwind target was met while unwinding.
C000002A STATUS_NOT_LOCKED A page of memory that is not locked cannot be unlocked.
C000002B STATUS_PARITY_ERROR Device parity error.
C000002D STATUS_NOT_COMMITTED The memory to be protected is not committed.
C0000030 STATUS_INVALID_PARAMETER_MIX An invalid combination of parameters was specified.
C0000032 STATUS_DISK_CORRUPT_ERROR The file system structure on the disk is corrupt.
C0000033 STATUS_OBJECT_NAME_INVALID The object name is invalid.
C0000034 STATUS_OBJECT_NAME_NOT_FOUND The object name is not found.
C0000035 STATUS_OBJECT_NAME_COLLISION The object name already exists.
C0000037 STATUS_PORT_DISCONNECTED The message port is disconnected.
C0000039 STATUS_OBJECT_PATH_INVALID The object path was not a directory object.
C000003A STATUS_OBJECT_PATH_NOT_FOUND The path does not exist.
C000003B STATUS_OBJECT_PATH_SYNTAX_BAD The object path was not an absolute path.
C000003C STATUS_DATA_OVERRUN A data overrun occurred.
C000003E STATUS_DATA_ERROR The device reported an error in reading or writing data.
C000003F STATUS_CRC_ERROR A cyclic redundancy check failed.
C0000040 STATUS_SECTION_TOO_BIG The section is too big to be mapped.
C0000041 STATUS_PORT_CONNECTION_REFUSED The message port refused the connection.
C0000043 STATUS_SHARING_VIOLATION The file is open in a way that does not allow sharing.
C0000044 STATUS_QUOTA_EXCEEDED The quota has been exceeded.
C0000045 STATUS_INVALID_PAGE_PROTECTION The page protection is not valid.
C0000046 STATUS_MUTANT_NOT_OWNED The mutex to release is not owned by the thread.
C0000047 STATUS_SEMAPHORE_LIMIT_EXCEEDED The maximum count of the semaphore has been exceeded.
C000004A STATUS_SUSPEND_COUNT_EXCEEDED The suspend count of the thread is at its maximum.
C000004B STATUS_THREAD_IS_TERMINATING The thread is terminating.
C0000054 STATUS_FILE_LOCK_CONFLICT A part of the file is locked by another process.
C0000055 STATUS_LOCK_NOT_GRANTED The lock was not granted.
C0000056 STATUS_DELETE_PENDING The file is about to be deleted.
C0000061 STATUS_PRIVILEGE_NOT_HELD A required privilege is not held by the client.
C0000064 STATUS_NO_SUCH_USER The account does not exist.
C000006A STATUS_WRONG_PASSWORD The password is wrong.
C000006D STATUS_LOGON_FAILURE The user name or password is wrong.
C000006E STATUS_ACCOUNT_RESTRICTION A restriction of the account prevented the logon.
C0000071 STATUS_PASSWORD_EXPIRED The password has expired.
C0000072 STATUS_ACCOUNT_DISABLED The account is disabled.
C0000077 STATUS_INVALID_ACL The access control list is invalid.
C0000078 STATUS_INVALID_SID The security id is invalid.
C0000079 STATUS_INVALID_SECURITY_DESCR The security descriptor is invalid.
C000007A STATUS_PROCEDURE_NOT_FOUND The procedure was not found in the image.
C000007B STATUS_INVALID_IMAGE_FORMAT The image is not designed for this Windows, or damaged.
C000007C STATUS_NO_TOKEN A token that does not exist was referenced.
C000007E STATUS_RANGE_NOT_LOCKED The range to unlock was not locked.
C000007F STATUS_DISK_FULL There is not enough space on the disk.
C0000089 STATUS_RESOURCE_DATA_NOT_FOUND The image has no resource section.
C000008A STATUS_RESOURCE_TYPE_NOT_FOUND The image has no resource of the type.
C000008B STATUS_RESOURCE_NAME_NOT_FOUND The image has no resource of the name.
C000008C STATUS_ARRAY_BOUNDS_EXCEEDED Array bounds exceeded.
C000008D STATUS_FLOAT_DENORMAL_OPERAND Floating-point denormal operand.
C000008E STATUS_FLOAT_DIVIDE_BY_ZERO Floating-point division by zero.
C000008F STATUS_FLOAT_INEXACT_RESULT Floating-point inexact result.
C0000090 STATUS_FLOAT_INVALID_OPERATION Floating-point invalid operation.
C0000091 STATUS_FLOAT_OVERFLOW Floating-point overflow.
C0000092 STATUS_FLOAT_STACK_CHECK Floating-point stack check.
C0000093 STATUS_FLOAT_UNDERFLOW Floating-point underflow.
C0000094 STATUS_INTEGER_DIVIDE_BY_ZERO Integer division by zero.
C0000095 STATUS_INTEGER_OVERFLOW Integer overflow.
C0000096 STATUS_PRIVILEGED_INSTRUCTION Privileged instruction.
C000009A STATUS_INSUFFICIENT_RESOURCES Not enough system resources exist.
C000009C STATUS_DEVICE_DATA_ERROR The device reported a data error.
C000009D STATUS_DEVICE_NOT_CONNECTED The device is not connected.
C00000A1 STATUS_WORKING_SET_QUOTA Insufficient quota for the working set.
C00000A2 STATUS_MEDIA_WRITE_PROTECTED The disk cannot be written to because it is write protected.
C00000A3 STATUS_DEVICE_NOT_READY The device is not ready.
C00000A5 STATUS_BAD_IMPERSONATION_LEVEL An impersonation level is missing or invalid.
C00000AA STATUS_INSTRUCTION_MISALIGNMENT An instruction is not aligned.
C00000AB STATUS_INSTANCE_NOT_AVAILABLE All instances of the pipe are busy.
C00000AC STATUS_PIPE_NOT_AVAILABLE An instance of the pipe cannot be found in listening state.
C00000AD STATUS_INVALID_PIPE_STATE The pipe is not in a state for the operation.
C00000AE STATUS_PIPE_BUSY The pipe is busy.
C00000B0 STATUS_PIPE_DISCONNECTED The pipe is disconnected.
C00000B1 STATUS_PIPE_CLOSING The pipe is being closed.
C00000B5 STATUS_IO_TIMEOUT The device did not finish in time.
C00000BA STATUS_FILE_IS_A_DIRECTORY The file is a directory.
C00000BB STATUS_NOT_SUPPORTED The request is not supported.
C00000BE STATUS_BAD_NETWORK_PATH The network path cannot be located.
C00000C9 STATUS_NETWORK_NAME_DELETED The network name was deleted.
C00000CC STATUS_BAD_NETWORK_NAME The share cannot be found on the server.
C00000D4 STATUS_NOT_SAME_DEVICE The two names are of different devices.
C00000E5 STATUS_INTERNAL_ERROR An internal error occurred.
C00000E8 STATUS_INVALID_USER_BUFFER An access to a user buffer failed.
C00000E9 STATUS_UNEXPECTED_IO_ERROR An unexpected I/O error occurred.
C00000EF STATUS_INVALID_PARAMETER_1 The first parameter is invalid.
C00000F0 STATUS_INVALID_PARAMETER_2 The second parameter is invalid.
C00000F1 STATUS_INVALID_PARAMETER_3 The third parameter is invalid.
C00000F2 STATUS_INVALID_PARAMETER_4 The fourth parameter is invalid.
C00000FB STATUS_REDIRECTOR_NOT_STARTED The redirector is not running.
C00000FD STATUS_STACK_OVERFLOW A new guard page for the stack cannot be created.
C00000FE STATUS_NO_SUCH_PACKAGE The authentication package is unknown.
C00000FF STATUS_BAD_FUNCTION_TABLE A malformed function table was met while unwinding.
C0000101 STATUS_DIRECTORY_NOT_EMPTY The directory is not empty.
C0000102 STATUS_FILE_CORRUPT_ERROR The file or directory is corrupt and cannot be read.
C0000103 STATUS_NOT_A_DIRECTORY The file is not a directory.
C0000106 STATUS_NAME_TOO_LONG The name is too long.
C0000109 STATUS_MESSAGE_NOT_FOUND The message number was not found.
C000010A STATUS_PROCESS_IS_TERMINATING The process is terminating.
C0000120 STATUS_CANCELLED The I/O request was canceled.
C0000121 STATUS_CANNOT_DELETE The file or directory cannot be deleted.
C0000123 STATUS_FILE_DELETED The file was deleted while it was open.
C0000128 STATUS_FILE_CLOSED The file object is closed.
C000012B STATUS_TOKEN_ALREADY_IN_USE The token is already in use as a primary one.
C000012D STATUS_COMMITMENT_LIMIT The limit of committed memory is reached.
C0000130 STATUS_INVALID_IMAGE_PROTECT The image is of an operating system that cannot be run.
C0000131 STATUS_INVALID_IMAGE_WIN_16 The image is a 16-bit Windows program.
C0000135 STATUS_DLL_NOT_FOUND A DLL that the program needs was not found.
C0000136 STATUS_OPEN_FAILED The remote file could not be opened.
C0000138 STATUS_ORDINAL_NOT_FOUND The ordinal was not found in the DLL.
C0000139 STATUS_ENTRYPOINT_NOT_FOUND The entry point was not found in the DLL.
C000013A STATUS_CONTROL_C_EXIT The application terminated because of Ctrl+C.
C000013B STATUS_LOCAL_DISCONNECT The network connection was closed by the local system.
C000013C STATUS_REMOTE_DISCONNECT The network connection was closed by the remote system.
C0000142 STATUS_DLL_INIT_FAILED The initialization of a DLL failed.
C0000143 STATUS_MISSING_SYSTEMFILE A system file is bad or missing.
C0000144 STATUS_UNHANDLED_EXCEPTION An unhandled exception occurred in the application.
C0000145 STATUS_APP_INIT_FAILURE The application was unable to start correctly.
C000014B STATUS_PIPE_BROKEN The pipe has been ended.
C000014C STATUS_REGISTRY_CORRUPT The registry is corrupt.
C0000184 STATUS_INVALID_DEVICE_STATE The device is not in a state for the command.
C0000185 STATUS_IO_DEVICE_ERROR The device reported an I/O error.
C0000188 STATUS_LOG_FILE_FULL The log file is full.
C0000190 STATUS_TRUST_FAILURE The trust with the primary domain failed.
C0000194 STATUS_POSSIBLE_DEADLOCK A potential deadlock was detected.
C00001A5 STATUS_INVALID_EXCEPTION_HANDLER An invalid exception handler routine was found.
C0000203 STATUS_USER_SESSION_DELETED The remote user session was deleted.
C0000205 STATUS_INSUFF_SERVER_RESOURCES The server has not enough resources.
C000020C STATUS_CONNECTION_DISCONNECTED The transport connection is disconnected.
C000020D STATUS_CONNECTION_RESET The transport connection was reset.
C0000218 STATUS_CANNOT_LOAD_REGISTRY_FILE The registry cannot load a hive.
C000021A STATUS_SYSTEM_PROCESS_TERMINATED A process that the system needs terminated.
C0000221 STATUS_IMAGE_CHECKSUM_MISMATCH The checksum of the image does not match.
C0000224 STATUS_PASSWORD_MUST_CHANGE The password must be changed before the first logon.
C0000225 STATUS_NOT_FOUND The object was not found.
C0000229 STATUS_FAIL_CHECK The value of a system call's result was not as expected.
C0000234 STATUS_ACCOUNT_LOCKED_OUT The account is locked out.
C0000235 STATUS_HANDLE_NOT_CLOSABLE The handle is protected from being closed.
C0000236 STATUS_CONNECTION_REFUSED The remote system refused the connection.
C000023C STATUS_NETWORK_UNREACHABLE The network is unreachable.
C000023D STATUS_HOST_UNREACHABLE The host is unreachable.
C0000241 STATUS_CONNECTION_ABORTED The local system aborted the connection.
C0000251 STATUS_BAD_DLL_ENTRYPOINT The DLL has an invalid entry point.
C0000262 STATUS_DRIVER_ORDINAL_NOT_FOUND The driver could not be loaded: ordinal missing.
C0000263 STATUS_DRIVER_ENTRYPOINT_NOT_FOUND The driver could not be loaded: entry point missing.
C0000269 STATUS_ILLEGAL_DLL_RELOCATION A system DLL was relocated in memory.
C000026C STATUS_DRIVER_UNABLE_TO_LOAD The driver could not be loaded.
C00002B4 STATUS_FLOAT_MULTIPLE_FAULTS Multiple floating-point faults.
C00002B5 STATUS_FLOAT_MULTIPLE_TRAPS Multiple floating-point traps.
C00002C5 STATUS_DATATYPE_MISALIGNMENT_ERROR A datatype misalignment was detected.
C00002C9 STATUS_REG_NAT_CONSUMPTION A register was accessed while not available.
C0000354 STATUS_DEBUGGER_INACTIVE No kernel debugger is active.
C0000361 STATUS_ACCESS_DISABLED_BY_POLICY_DEFAULT Access was restricted by policy.
C0000362 STATUS_ACCESS_DISABLED_BY_POLICY_PATH Access was restricted by policy, by path.
C000036C STATUS_DRIVER_BLOCKED The driver is blocked from loading.
C0000374 STATUS_HEAP_CORRUPTION A heap has been corrupted.
C0000409 STATUS_STACK_BUFFER_OVERRUN The system detected an overrun of a stack-based buffer.
C0000417 STATUS_INVALID_CRUNTIME_PARAMETER An invalid parameter was passed to the C runtime.
C0000420 STATUS_ASSERTION_FAILURE An assertion failure occurred.
C0000421 STATUS_VERIFIER_STOP Application verifier found an error in the process.
C0000428 STATUS_INVALID_IMAGE_HASH Windows cannot verify the digital signature of this file.
C0000450 STATUS_DRIVER_PROCESS_TERMINATED The process of the driver terminated.
C0000602 STATUS_FAIL_FAST_EXCEPTION A fail fast exception occurred; no handler is invoked.
C000070A STATUS_THREADPOOL_HANDLE_EXCEPTION The handle given to the thread pool is not valid.
C000070F STATUS_THREADPOOL_RELEASED_DURING_OPERATION The object of the thread pool was released.
C0000710 STATUS_CALLBACK_RETURNED_WHILE_IMPERSONATING A callback returned while impersonating.
C0000906 STATUS_VIRUS_INFECTED The file contains a virus.
C0020001 RPC_NT_INVALID_STRING_BINDING The string binding is invalid.
C0020003 RPC_NT_INVALID_BINDING The binding handle is invalid.
C0020017 RPC_NT_SERVER_UNAVAILABLE The RPC server is unavailable.
C002001B RPC_NT_CALL_FAILED The remote procedure call failed.
C0150002 STATUS_SXS_CANT_GEN_ACTCTX Windows could not create the activation context.
C0150004 STATUS_SXS_ASSEMBLY_NOT_FOUND The side-by-side assembly is not installed.
C015000F STATUS_SXS_EARLY_DEACTIVATION An activation context was deactivated too early.
C0150010 STATUS_SXS_INVALID_DEACTIVATION An activation context of another thread was deactivated.
CFFFFFFF STATUS_APPLICATION_HANG The application hangs.
E0434352 CLR_EXCEPTION An exception of the .NET runtime.
E06D7363 MSVC_CPP_EXCEPTION A C++ exception of the Microsoft runtime.
"""

HRESULT: Final = """
00000000 S_OK The operation completed successfully.
00000001 S_FALSE The operation succeeded and the answer is no.
8000000A E_PENDING The data necessary to complete this operation is not yet available.
8000000B E_BOUNDS The operation attempted to access data outside the valid range.
8000000E E_ILLEGAL_METHOD_CALL A method was called at an unexpected time.
80000013 RO_E_CLOSED The object has been closed.
80004001 E_NOTIMPL Not implemented.
80004002 E_NOINTERFACE No such interface supported.
80004003 E_POINTER Invalid pointer.
80004004 E_ABORT Operation aborted.
80004005 E_FAIL Unspecified error.
80004021 CO_E_NOT_SUPPORTED The operation is not supported by the activation service.
8000FFFF E_UNEXPECTED Catastrophic failure.
80010001 RPC_E_CALL_REJECTED Call was rejected by callee.
80010002 RPC_E_CALL_CANCELED Call was canceled by the message filter.
80010007 RPC_E_SERVER_DIED The callee is not available and disappeared.
80010008 RPC_E_CLIENT_DIED The caller disappeared while the callee was processing a call.
80010100 RPC_E_SYS_CALL_FAILED System call failed.
80010105 RPC_E_SERVERFAULT The server threw an exception.
80010106 RPC_E_CHANGED_MODE Cannot change thread mode after it is set.
80010108 RPC_E_DISCONNECTED The object invoked has disconnected from its clients.
8001010A RPC_E_SERVERCALL_RETRYLATER The message filter says that the application is busy.
8001010D RPC_E_CANTCALLOUT_ININPUTSYNCCALL An outgoing call cannot be made during input.
8001010E RPC_E_WRONG_THREAD The interface was marshalled for a different thread.
80010114 RPC_E_INVALID_OBJECT The requested object does not exist.
8001011F RPC_E_TIMEOUT This operation returned because the timeout period expired.
80020003 DISP_E_MEMBERNOTFOUND Member not found.
80020004 DISP_E_PARAMNOTFOUND Parameter not found.
80020005 DISP_E_TYPEMISMATCH Type mismatch.
80020006 DISP_E_UNKNOWNNAME Unknown name.
80020008 DISP_E_BADVARTYPE Bad variable type.
80020009 DISP_E_EXCEPTION Exception occurred.
8002000A DISP_E_OVERFLOW Out of present range.
8002000B DISP_E_BADINDEX Invalid index.
8002000E DISP_E_BADPARAMCOUNT Invalid number of parameters.
80028019 TYPE_E_UNSUPFORMAT Old format or invalid type library.
80029C4A TYPE_E_CANTLOADLIBRARY Error loading type library or DLL.
80030002 STG_E_FILENOTFOUND The file could not be found.
80030005 STG_E_ACCESSDENIED Access denied.
80030009 STG_E_INVALIDPOINTER Invalid pointer error.
800300FD STG_E_UNKNOWN An unexpected error occurred.
80040004 OLE_E_NOCONNECTION There is no connection for this connection id.
80040110 CLASS_E_NOAGGREGATION The class does not support aggregation.
80040111 CLASS_E_CLASSNOTAVAILABLE The class factory cannot supply the requested class.
80040150 REGDB_E_READREGDB Could not read a key from the registry.
80040154 REGDB_E_CLASSNOTREG Class not registered.
80040155 REGDB_E_IIDNOTREG Interface not registered.
800401D0 CLIPBRD_E_CANT_OPEN The clipboard could not be opened.
800401E3 MK_E_UNAVAILABLE Operation unavailable.
800401F0 CO_E_NOTINITIALIZED CoInitialize has not been called.
800401F3 CO_E_CLASSSTRING Invalid class string.
800401F8 CO_E_DLLNOTFOUND The DLL for the class was not found.
800401FD CO_E_OBJNOTCONNECTED The object is not connected to a server.
80080005 CO_E_SERVER_EXEC_FAILURE Server execution failed.
80090001 NTE_BAD_UID Bad UID.
80090005 NTE_BAD_DATA Bad data.
80090008 NTE_BAD_ALGID Invalid algorithm specified.
8009000B NTE_BAD_KEY_STATE The key is not valid for use in the specified state.
80090011 NTE_NOT_FOUND The object was not found.
80090016 NTE_BAD_KEYSET The set of keys does not exist.
80090308 SEC_E_INVALID_TOKEN The token supplied to the function is invalid.
8009030C SEC_E_LOGON_DENIED The logon attempt failed.
80090326 SEC_E_ILLEGAL_MESSAGE The message received was unexpected or badly formatted.
80092004 CRYPT_E_NOT_FOUND Cannot find object or property.
80096010 TRUST_E_BAD_DIGEST The digital signature of the object did not verify.
800B0100 TRUST_E_NOSIGNATURE No signature was present in the subject.
800B0101 CERT_E_EXPIRED A required certificate is not within its validity period.
800B0109 CERT_E_UNTRUSTEDROOT A certificate chain ended in a root which is not trusted.
80131500 COR_E_EXCEPTION An exception of the .NET runtime.
80131501 COR_E_SYSTEM An internal error of .NET.
80131509 COR_E_INVALIDOPERATION The state of the object does not allow the operation (.NET).
80131513 COR_E_MISSINGMETHOD Method not found (.NET).
80131522 COR_E_TYPELOAD Could not load the type (.NET).
80131534 COR_E_TYPEINITIALIZATION The type initializer threw an exception (.NET).
80131604 COR_E_TARGETINVOCATION The target of an invocation threw an exception (.NET).
80131620 COR_E_IO An I/O error (.NET).
80131623 COR_E_FAILFAST The runtime was told to fail fast (.NET).
80240017 WU_E_NOT_APPLICABLE There is no applicable update.
887A0001 DXGI_ERROR_INVALID_CALL The application made an invalid call of DXGI.
887A0005 DXGI_ERROR_DEVICE_REMOVED The graphics device was removed or reset.
887A0006 DXGI_ERROR_DEVICE_HUNG The graphics device hangs because of badly formed commands.
887A0007 DXGI_ERROR_DEVICE_RESET The graphics device failed and must be created again.
887A0020 DXGI_ERROR_DRIVER_INTERNAL_ERROR The graphics driver met a problem.
"""

FACILITIES: Final = """
0 NULL
1 RPC
2 DISPATCH
3 STORAGE
4 ITF
7 WIN32
8 WINDOWS
9 SECURITY
10 CONTROL
11 CERT
12 INTERNET
13 MEDIASERVER
14 MSMQ
15 SETUPAPI
16 SCARD
17 COMPLUS
18 AAF
19 URT
20 ACS
21 DPLAY
22 UMI
23 SXS
24 WINDOWS_CE
25 HTTP
26 USERMODE_COMMONLOG
31 USERMODE_FILTER_MANAGER
32 BACKGROUNDCOPY
33 CONFIGURATION
34 STATE_MANAGEMENT
35 METADIRECTORY
36 WINDOWSUPDATE
37 DIRECTORYSERVICE
38 GRAPHICS
39 SHELL
40 TPM_SERVICES
41 TPM_SOFTWARE
48 PLA
49 FVE
50 FWP
51 WINRM
52 NDIS
53 USERMODE_HYPERVISOR
54 CMI
55 USERMODE_VIRTUALIZATION
80 WINDOWS_DEFENDER
81 OPC
2170 DXGI
2171 DXGI_DDI
2172 DIRECT3D11
2174 DIRECT3D12
2185 AUDCLNT
2200 WINCODEC_DWRITE_DWM
2201 DIRECT2D
"""
